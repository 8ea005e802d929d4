/**
 * Some simulated bad days; `npm run simulate` lives through as many as one likes. Each is a process of
 * its own, because time and chance are taken out of it.
 */
import { expect, test } from 'vitest'
import { runSeed as firstSeed } from '../support/random.ts'
import { runCampaign, runSeed, showReport } from './campaign.ts'

/** More than a few, a hundred days among them, only where that is asked for. */
const asked = process.env.PADLOCK_SIMULATION_SEEDS
const seeds = Number(asked ?? 3)
const seed = firstSeed()
const limitMs = 600_000

const campaign = runCampaign({
  firstSeed: seed,
  seeds,
  jobs: 2,
  skipSeasons: asked === undefined,
})

test(
  'after a bad day and a quiet night everyone has everything once, in one order',
  async () => {
    const report = await campaign
    console.log(`from seed ${seed}\n${showReport(report)}`)
    expect(report.failures).toEqual([])
    expect(report.outcomes.length).toBeGreaterThan(1)
    const deliveries = report.outcomes.map(({ figures }) => figures.deliveries)
    expect(Math.min(...deliveries)).toBeGreaterThan(0)
  },
  limitMs,
)

test(
  'a seed that is repeated gives the same journal and the same databases',
  async () => {
    const { outcomes } = await campaign
    const again = await runSeed(seed)
    const first = outcomes.find((outcome) => outcome.seed === seed)
    expect(first).toBeDefined()
    expect('digest' in again && again.digest).toBe(first?.digest)
    expect(new Set(outcomes.map(({ digest }) => digest)).size).toBe(outcomes.length)
  },
  limitMs,
)
