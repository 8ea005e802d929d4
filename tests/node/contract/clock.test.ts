/** A node's clock that steps back: what is stored later is later all the same, on every topic. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  revocation,
  type TestClock,
  testClock,
} from '../support.ts'
import { openNode } from './store.ts'

let clock: TestClock
let node: InProcessNode
let client: NodeClient

beforeEach(async () => {
  clock = testClock()
  node = await openNode({ clock })
  client = nodeClient(node.transport)
})
afterEach(() => node.close())

test('section 5: what comes after a revocation is not older than it, on any topic', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  const carol = await register(client, 'carol', clock.nowNs)
  clock.nowNs += minuteNs
  const revoking = await client.publish({ envelopes: [await revocation(bob.account, [bob])] })
  // A step back, as by NTP or a server that took over: ten minutes.
  clock.nowNs -= 10n * minuteNs
  const letter = await client.publish({
    envelopes: [inboxEnvelope(carol, 'from the stolen device')],
  })
  const [revokedNs, letterNs] = [revoking, letter].map(({ receipts: [one] }) => one?.nodeNs ?? 0n)
  expect(letterNs).toBeGreaterThan(revokedNs ?? 0n)
  const both = await client.publish({
    envelopes: [inboxEnvelope(carol, 'a'), inboxEnvelope(carol, 'b')],
  })
  // One value for a request, as ever.
  expect(both.receipts[1]?.nodeNs).toBe(both.receipts[0]?.nodeNs)
  expect(both.receipts[0]?.nodeNs).toBeGreaterThan(letterNs ?? 0n)
  // When the clock has caught up, it counts again.
  clock.nowNs += 60n * minuteNs
  const later = await client.publish({ envelopes: [inboxEnvelope(carol, 'c')] })
  expect(later.receipts[0]?.nodeNs).toBe(clock.nowNs)
})
