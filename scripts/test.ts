/**
 * Runs the steps, continues after a failure, and prints `N passed, N failed` alone on its last line.
 *
 *     node scripts/test.ts              every step but browser and long ones, installing nothing
 *     node scripts/test.ts --install    every step, after installing what is missing
 *     node scripts/test.ts --only NAME  one step (may be repeated); --list names them
 */
import { parseArgs } from 'node:util'
import { type BrowserName, ensureBrowsers } from './browsers.ts'
import { installPgBouncer } from './pgbouncer.ts'
import { installPostgres } from './postgres.ts'
import { add, type Counts, none } from './results.ts'
import { ensureRust } from './rust.ts'
import { type Step, steps } from './steps.ts'

const finish = (counts: Counts): never => {
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  process.exit(counts.failed === 0 ? 0 : 1)
}

const refuse = (sentence: string): never => {
  console.error(sentence)
  return finish({ ...none, failed: 1 })
}

const readOptions = () => {
  try {
    return parseArgs({
      options: {
        install: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

const choose = (only: readonly string[], all: boolean): readonly Step[] => {
  const unknown = only.find((name) => !steps.some((step) => step.name === name))
  if (unknown !== undefined) return refuse(`There is no step "${unknown}"; --list names them.`)
  if (only.length > 0) return steps.filter((step) => only.includes(step.name))
  return steps.filter((step) => all || !(step.browsers || step.isLong))
}

/** In CI a skipped test counts as failed: nobody would notice that it never ran. */
const judgeSkips = (counts: Counts): Counts =>
  process.env.CI ? { ...counts, failed: counts.failed + counts.skipped } : counts

const runStep = async (step: Step): Promise<Counts> => {
  console.log(`\n== ${step.name}: ${step.says}`)
  if (step.hasFiles && !step.hasFiles()) {
    console.log('   nothing here yet')
    return none
  }
  const start = performance.now()
  let counts: Counts
  try {
    counts = await step.run()
  } catch (error) {
    console.error(error)
    counts = { ...none, failed: 1 }
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  console.log(`   ${counts.passed} passed, ${counts.failed} failed${skipped} (${seconds} s)`)
  return judgeSkips(counts)
}

const options = readOptions()
if (options.list) {
  for (const step of steps) console.log(`${step.name.padEnd(16)}${step.says}`)
  process.exit(0)
}

const chosen = choose(options.only, options.install)
let total: Counts = none
const failed: string[] = []
let browsersMissing: ReadonlyMap<BrowserName, string> = new Map()
if (options.install) {
  const rustMissing = await ensureRust()
  if (rustMissing !== undefined) refuse(rustMissing)
  browsersMissing = await ensureBrowsers([
    ...new Set(chosen.flatMap((step) => step.browsers ?? [])),
  ])
  if (chosen.some((step) => step.name === 'vitest')) {
    const missing = (await installPostgres()) ?? (await installPgBouncer())
    if (missing !== undefined) refuse(missing)
  }
}

for (const step of chosen) {
  let counts: Counts
  const missing = (step.browsers ?? []).flatMap((name) => browsersMissing.get(name) ?? [])
  if (missing.length > 0) {
    console.error(missing.join('\n'))
    counts = { ...none, failed: 1 }
  } else {
    counts = await runStep(step)
  }
  if (counts.failed > 0) failed.push(step.name)
  total = add(total, counts)
}
if (failed.length > 0) console.log(`\nfailed: ${failed.join(', ')}`)
finish(total)
