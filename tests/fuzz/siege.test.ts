/**
 * A short siege on each store: the process stays under the memory that it may take, and who asks for little is
 * served again. `scripts/siege.ts` is the long one.
 */
import { afterEach, expect, test } from 'vitest'
import { aDatabase } from '../support/postgres.ts'
import { type FuzzNode, faultsInOutput } from './fuzz-node.ts'
import { besiege } from './siege.ts'

let node: FuzzNode | undefined
afterEach(() => node?.close())

test.each([
  ['sqlite', undefined],
  ['postgres', aDatabase],
])('a node with 1 GiB stays under it while 80 strangers do their worst, on %s', async (_, make) => {
  const database = await make?.()
  const report = await besiege({
    callers: 80,
    seconds: 15,
    args: ['--memory', '1GiB'],
    ...(database !== undefined && { database }),
  })
  node = report.node
  const { startMiB, peakMiB, failed, turnsMs } = report
  console.log(`${startMiB} MiB, then ${peakMiB} MiB; ${turnsMs.length} turns, ${failed} failed`)
  expect(node.alive).toBe(true)
  expect(faultsInOutput(node.output, [])).toEqual([])
  expect(peakMiB).toBeLessThan(1_024)
  // It was a siege, and no quiet evening.
  expect(peakMiB).toBeGreaterThan(startMiB + 100)
  expect(turnsMs.length).toBeGreaterThan(0)
})
