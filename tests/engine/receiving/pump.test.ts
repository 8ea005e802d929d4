/** Batches for the inbox: bounded in envelopes and bytes, in order, and the stream waits for them. */

import { expect, test } from 'vitest'
import { deferred } from '../../../src/async.ts'
import type { Prepared } from '../../../src/engine/receiving/envelope-stages.ts'
import type { Inbox } from '../../../src/engine/receiving/inbox.ts'
import { Pump } from '../../../src/engine/receiving/pump.ts'
import type { NodeEnvelope } from '../../../src/network/network.ts'
import { until } from '../../support/until.ts'

const mib = 1024 * 1024

const envelopes = (count: number, bytes: number): readonly NodeEnvelope[] =>
  Array.from({ length: count }, (_, n) => ({
    topic: 'message-me',
    sequence: BigInt(n + 1),
    nodeNs: 1n,
    message: new Uint8Array(bytes),
  }))

/** An inbox that notes its batches, and commits them when it is told to. */
const anInbox = () => {
  const batches: number[] = []
  const committed: bigint[] = []
  let open = deferred()
  const inbox: Pick<Inbox, 'prepare' | 'commit'> = {
    prepare: async (batch): Promise<Prepared> => {
      batches.push(batch.length)
      return { addressed: [], unsure: new Set(), last: batch.at(-1)?.sequence }
    },
    commit: async ({ last }) => {
      await open.promise
      if (last !== undefined) committed.push(last)
    },
  }
  const hold = () => {
    open = deferred()
  }
  return {
    pump: new Pump(inbox as Inbox, () => undefined),
    batches,
    committed,
    go: () => open.resolve(),
    hold,
  }
}

test('a batch has at most two hundred envelopes and eight MiB; one alone may have more', async () => {
  const { pump, batches, committed, go } = anInbox()
  go()
  await pump.push(envelopes(450, 10))
  await pump.drained()
  expect(batches).toEqual([200, 200, 50])
  await pump.push(envelopes(20, mib))
  await pump.drained()
  expect(batches.slice(3)).toEqual([8, 8, 4])
  await pump.push(envelopes(3, 9 * mib))
  await pump.drained()
  expect(batches.slice(6)).toEqual([1, 1, 1])
  expect(committed).toEqual([200n, 400n, 450n, 8n, 16n, 20n, 1n, 2n, 3n])
})

test.each([
  ['two thousand envelopes', 3_000, 10],
  ['thirty-two MiB', 60, mib],
])('beyond %s the stream waits, until half of them are gone', async (_, count, bytes) => {
  const { pump, batches, committed, go } = anInbox()
  let isTaken = false
  const pushing = pump.push(envelopes(count, bytes)).then(() => {
    isTaken = true
  })
  // One is committed, and two wait behind it.
  await until(() => batches.length === 3)
  expect(isTaken).toBe(false)
  go()
  await pushing
  const half = bytes === mib ? 16 : 1_000
  expect(Number(committed.at(-1))).toBeGreaterThanOrEqual(count - half - 2 * 200)
  await until(() => committed.at(-1) === BigInt(count))
})
