/**
 * Quiet days beside strangers who use a hundredth of what a node allows them, and the same days without
 * them. Real cryptography makes more too slow here; `npm run simulate -- --strangers 100` takes all of it.
 */
import { expect, test } from 'vitest'
import { runSeed as firstSeed } from '../support/random.ts'
import { runCampaign, showReport } from './campaign.ts'

test('strangers neither hold up nor lose what honest people write, and leave only what they may', async () => {
  const seed = firstSeed()
  const report = await runCampaign({ firstSeed: seed, seeds: 1, jobs: 1, strangers: 0.01 })
  console.log(`from seed ${seed}\n${showReport(report)}`)
  expect(report.failures).toEqual([])
  const [outcome] = report.outcomes
  expect(Object.keys(outcome?.quiet?.delays ?? {}).length).toBeGreaterThan(30)
  expect(outcome?.quiet?.put.envelopes).toBeGreaterThan(1_000)
  // Each kind was there, and left what it leaves.
  expect([...report.faults.keys()].filter((kind) => kind.startsWith('strangers: '))).toHaveLength(
    12,
  )
  const { messages, sessions, setAside, unreadableFrom, installations } = outcome?.quiet?.held ?? {}
  expect(
    Math.min(...[messages, sessions, setAside, unreadableFrom, installations].map(Number)),
  ).toBeGreaterThan(0)
}, 600_000)
