/** What was sent is known for fourteen days, whatever the clock says meanwhile: docs/protocol.md section 10. */

import { expect, test } from 'vitest'
import { forgetOldSent } from '../../../src/engine/sending/sent-records.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { aResponder } from './responder-part.ts'

test('requests are answered for fourteen days to the millisecond, by both clocks', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  all.turn(14 * dayMs)
  await all.ask([one.digest])
  expect(all.answered()).toHaveLength(1)
  // Our own clock alone ends nothing (section 1).
  all.clock.nowMs += dayMs
  await all.ask([one.digest])
  expect(all.answered()).toHaveLength(2)
  const [other] = await all.sent([all.peer.id], all.clock.nowMs - dayMs)
  if (!other) return
  all.turn(14 * dayMs + 1)
  await all.ask([other.digest])
  expect(all.answered()).toHaveLength(2)
})

test('records of what was sent go after fourteen days, however many they are', async () => {
  const all = await aResponder()
  for (let n = 0; n < 3; n += 1) await all.sent([all.peer.id])
  await all.store.transaction([], () => ({
    writes: Array.from({ length: 1_001 }, () =>
      put(tables.sent, all.store.nextNumber(tables.sent), { sentMs: BigInt(all.clock.nowMs) }),
    ),
    result: undefined,
  }))
  all.turn(1)
  const [young] = await all.sent([all.peer.id])
  all.turn(14 * dayMs - 1)
  await forgetOldSent(all.context)
  expect(await all.sentRecords()).toHaveLength(1_000)
  all.turn(1)
  await forgetOldSent(all.context)
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ digest: young?.digest }] }])
})

test('records that a clock years ahead has dated go fourteen days later, and hold up no others', async () => {
  const all = await aResponder()
  const aheadMs = BigInt(all.clock.nowMs + 3_650 * dayMs)
  const [ahead] = await all.sent([all.peer.id], Number(aheadMs), 1)
  await all.store.transaction([], () => ({
    writes: Array.from({ length: 1_200 }, () =>
      put(tables.sent, all.store.nextNumber(tables.sent), { sentMs: aheadMs }),
    ),
    result: undefined,
  }))
  const [right] = await all.sent([all.peer.id])
  if (!ahead || !right) return
  await forgetOldSent(all.context)
  expect(await all.sentRecords()).toHaveLength(1_000)
  // Until then both are answered, as often as they may be.
  await all.ask([ahead.digest, right.digest])
  await all.ask([ahead.digest])
  expect(all.answered()).toEqual([encodeHex(ahead.digest), encodeHex(right.digest)])
  all.turn(14 * dayMs + 1)
  await forgetOldSent(all.context)
  expect(await all.sentRecords()).toEqual([])
})
