/** What is kept for a later release: docs/protocol.md section 8, step 5; one part alone. */

import { expect, test } from 'vitest'
import { SetAside } from '../../../src/engine/receiving/set-aside.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { aPartWorld, messageParts } from '../../support/engine-context.ts'

test('what no later release came to read goes after four hundred days, and makes room', async () => {
  const { context, store, turn } = await aPartWorld()
  const keep = async (address: string, nodeNs: bigint) => {
    const record = { payload: new Uint8Array(8), address, installationId: 'i', nodeNs }
    const number = store.nextNumber(tables.setAside)
    await commit(store, { writes: [put(tables.setAside, number, record)] })
  }
  const kept = async () =>
    (await store.scan(tables.setAside, { after: 0, limit: 9 })).rows.map(
      ({ value }) => value.address,
    )
  const setAside = new SetAside(context, messageParts(context).consents)
  await keep('old', context.time.passedNs())
  turn(1)
  await keep('young', context.time.passedNs())
  turn(400 * dayMs - 1)
  await setAside.forgetOld()
  expect(await kept()).toEqual(['old', 'young'])
  turn(1)
  await setAside.forgetOld()
  expect(await kept()).toEqual(['young'])
})
