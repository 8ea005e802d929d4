/** Many seeds, each in a process of its own, so that one leaves nothing behind for the next. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { compareDays, slowdownOf } from './comparison.ts'
import { featuresOf } from './features.ts'
import type { Outcome } from './run.ts'
import { storeNames } from './store-names.ts'

/** A seed that takes longer hangs: one of usual days, one of as many days, or one beside all those strangers. */
const seedLimitMs = 600_000
const wholeAllowanceMs = 3_600_000

export interface CampaignOptions {
  readonly firstSeed: number
  readonly seeds: number
  /** Processes at the same time. */
  readonly jobs: number
  /** No further seed is begun after so long. */
  readonly limitMs?: number
  readonly verbose?: boolean
  /** Leaves out seeds of long times, which cost several times as much. */
  readonly skipSeasons?: boolean
  /**
   * Instead of bad days: quiet ones, each lived through without strangers and beside strangers who use this
   * share of the node's allowance.
   */
  readonly strangers?: number | undefined
  /** How long each of these lasts; if absent, 100 minutes. */
  readonly days?: number | undefined
  /** Hears of each seed when it is done. */
  readonly tell?: (outcome: Outcome | Failure) => void
}

/** A seed whose process ended without a verdict. */
export interface Failure {
  readonly seed: number
  readonly problems: readonly string[]
}

export interface Report {
  readonly outcomes: readonly Outcome[]
  /** Seeds with problems. */
  readonly failures: readonly (Outcome | Failure)[]
  readonly faults: ReadonlyMap<string, number>
}

export const runCampaign = async (options: CampaignOptions): Promise<Report> => {
  const { firstSeed, seeds, jobs, limitMs = Number.POSITIVE_INFINITY, tell } = options
  const endMs = performance.now() + limitMs
  const outcomes: Outcome[] = []
  const failures: (Outcome | Failure)[] = []
  const faults = new Map<string, number>()
  let next = firstSeed
  const work = async () => {
    while (next < firstSeed + seeds && performance.now() < endMs) {
      const seed = next++
      if (options.skipSeasons && featuresOf(seed).isSeason) continue
      const outcome = await live(seed, options)
      if ('digest' in outcome) {
        outcomes.push(outcome)
        for (const [kind, count] of Object.entries(outcome.faults)) {
          faults.set(kind, (faults.get(kind) ?? 0) + count)
        }
      }
      if (outcome.problems.length > 0) failures.push(outcome)
      tell?.(outcome)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return { outcomes, failures, faults }
}

const live = (
  seed: number,
  { strangers, days, verbose = false }: CampaignOptions,
): Promise<Outcome | Failure> =>
  strangers === undefined
    ? runSeed(seed, { verbose })
    : runBesideStrangers(seed, { strangers, days, verbose })

/** A quiet day with and without strangers: the outcome of the first, and what differs too much. */
const runBesideStrangers = async (
  seed: number,
  options: SeedOptions,
): Promise<Outcome | Failure> => {
  const without = await runSeed(seed, { strangers: 0, days: options.days })
  if (!('digest' in without) || without.problems.length > 0) return without
  const beside = await runSeed(seed, options)
  if (!('digest' in beside)) return beside
  const problems = [...beside.problems, ...compareDays(without, beside)]
  return { ...beside, problems, slowdown: slowdownOf(without, beside) }
}

export interface SeedOptions {
  readonly verbose?: boolean
  readonly strangers?: number
  readonly days?: number | undefined
}

/** One seed in a process of its own. */
export const runSeed = async (
  seed: number,
  { verbose = false, strangers, days }: SeedOptions = {},
): Promise<Outcome | Failure> => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const args = [
    `${seed}`,
    ...(verbose ? ['--verbose'] : []),
    ...(strangers === undefined ? [] : ['--strangers', `${strangers}`]),
    ...(days === undefined ? [] : ['--days', `${days}`]),
  ]
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Dates are formatted in it.
    env: { ...process.env, TZ: 'UTC' },
  })
  const limitMs = Math.max(seedLimitMs, wholeAllowanceMs * (strangers ?? 0)) * (days ?? 1)
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  let last = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (last + chunk).split('\n')
    last = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('{')) last = `${line}\n`
      else if (verbose) console.log(line)
    }
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors = (errors + chunk).slice(-4_000)
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(timer)
  if (code === 0 && last.startsWith('{')) return JSON.parse(last) as Outcome
  return { seed, problems: [`the process ended with ${code ?? 'a signal'}: ${errors.trim()}`] }
}

export const showReport = ({ outcomes, failures, faults }: Report): string => {
  const sum = (value: (outcome: Outcome) => number): number =>
    outcomes.reduce((total, outcome) => total + value(outcome), 0)
  const most = (value: (outcome: Outcome) => number): number =>
    outcomes.reduce((greatest, outcome) => Math.max(greatest, value(outcome)), 0)
  const hours = sum(({ virtualMs }) => virtualMs) / 3_600_000
  const injected = [...faults.values()].reduce((total, count) => total + count, 0)
  return [
    ...[...faults]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kind, count]) => `${String(count).padStart(9)}  ${kind}`),
    `${outcomes.length} seeds, ${injected} faults, ${hours.toFixed(0)} virtual hours, ` +
      `${sum(({ devices }) => devices)} devices`,
    `${sum(({ messages }) => messages)} messages written, ${sum(({ figures }) => figures.sent)} sent, ` +
      `${sum(({ figures }) => figures.deliveries)} deliveries due, ` +
      `${sum(({ figures }) => figures.owed)} owed; ` +
      `of restored devices ${sum(({ figures }) => figures.otherKept)} had, ` +
      `${sum(({ figures }) => figures.otherMissing)} not`,
    `largest stores: ${storeNames
      .map((name) => `${most(({ sizes }) => sizes[name])} ${name}`)
      .join(', ')}`,
    ...outcomes.flatMap(showStrangers),
    ...failures.map(
      ({ seed, problems }) =>
        `FAILED seed ${seed}: ${problems.length} problems, the first: ${problems[0]?.slice(0, 300)}`,
    ),
  ].join('\n')
}

const showStrangers = ({ seed, quiet, slowdown }: Outcome): readonly string[] => {
  if (!quiet || !slowdown) return []
  const held = Object.entries(quiet.held).map(([name, count]) => `${count} ${name}`)
  return [
    `seed ${seed}: strangers put in ${quiet.put.envelopes} envelopes and ` +
      `${(quiet.put.bytes / 2 ** 20).toFixed(0)} MiB; honest messages took ` +
      `${slowdown.mean.toFixed(2)} times as long, at worst ${slowdown.worst.toFixed(2)}; ` +
      `${quiet.readAtStart} records read at a start; held of them: ${held.join(', ')}`,
  ]
}
