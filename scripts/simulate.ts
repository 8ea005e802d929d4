/**
 * The simulation of everything, for as many seeds as you like. Repeat a failed seed with
 * `--seeds 1 --seed S --verbose`, which shows everything that happened.
 *
 *     npm run simulate -- --seeds 100
 *     npm run simulate -- --seeds 5 --strangers 1
 *     npm run simulate -- --seeds 1 --strangers 1 --days 3
 */
import { parseArgs } from 'node:util'
import { runCampaign, showReport } from '../tests/simulation/campaign.ts'
import type { Outcome } from '../tests/simulation/run.ts'

const usage = `usage: npm run simulate -- [options]

  --seeds <number>  how many (default: 20)
  --seed <number>   the first of them (default: any)
  --jobs <number>   processes at the same time (default: 1)
  --strangers <percent>
                    instead of bad days quiet ones, without strangers and beside strangers who use
                    so much of what the node allows them
  --days <number>   how long each of these lasts (default: 100 minutes)
  --verbose         shows everything that happened`

const fail = (sentence: string): never => {
  console.error(`${sentence}\n${usage}`)
  process.exit(1)
}

const readOptions = () => {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string', default: '20' },
        seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
        jobs: { type: 'string', default: '1' },
        strangers: { type: 'string' },
        days: { type: 'string' },
        verbose: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const readCount = (name: string, text: string): number =>
  /^\d{1,10}$/.test(text) ? Number(text) : fail(`--${name} needs a number, not "${text}"`)

const values = readOptions()

const replay = (seed: number): string =>
  `npm run simulate -- --seeds 1 --seed ${seed} --verbose` +
  (values.strangers === undefined ? '' : ` --strangers ${values.strangers}`) +
  (values.days === undefined ? '' : ` --days ${values.days}`)

const costOf = ({ faults, virtualMs, realMs }: Outcome): string => {
  const count = Object.values(faults).reduce((sum, one) => sum + one, 0)
  const hours = (virtualMs / 3_600_000).toFixed(0)
  return `${count} faults in ${hours} virtual hours, ${(realMs / 1_000).toFixed(1)} s`
}

const beganMs = performance.now()
const report = await runCampaign({
  firstSeed: readCount('seed', values.seed),
  seeds: readCount('seeds', values.seeds),
  jobs: Math.max(1, readCount('jobs', values.jobs)),
  verbose: values.verbose,
  ...(values.strangers === undefined
    ? {}
    : { strangers: readCount('strangers', values.strangers) / 100 }),
  ...(values.days === undefined ? {} : { days: readCount('days', values.days) }),
  tell: (outcome) => {
    const { seed, problems } = outcome
    const how =
      problems.length > 0 ? `${problems.length} problems, replay: ${replay(seed)}` : 'good'
    console.log(`seed ${seed}: ${how}${'digest' in outcome ? `, ${costOf(outcome)}` : ''}`)
    for (const problem of problems.slice(0, 20)) console.log(`  ${problem}`)
  },
})
console.log(showReport(report))
for (const { seed } of report.failures) console.log(`replay seed ${seed}: ${replay(seed)}`)
const seconds = (performance.now() - beganMs) / 1_000
const hours = report.outcomes.reduce((sum, { virtualMs }) => sum + virtualMs, 0) / 3_600_000
console.log(`${seconds.toFixed(0)} s, ${(hours / seconds).toFixed(1)} virtual hours a second`)
process.exit(report.failures.length === 0 ? 0 : 1)
