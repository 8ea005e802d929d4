/** What was looked up of strangers is not kept for ever: docs/protocol.md section 9. */

import { expect, test } from 'vitest'
import { forgetStrangers } from '../../src/engine/strangers.ts'
import { dayMs } from '../../src/protocol/limits.ts'
import { put, tables } from '../../src/store/tables.ts'
import { set } from '../support/envelope-forge/fields.ts'
import { forge, textContent } from '../support/envelope-forge/forge.ts'
import { aReceiver, type Receiver } from '../support/envelope-forge/receiver.ts'

const knownOf = async (bob: Receiver) =>
  new Set((await bob.store.all(tables.installations)).map(({ value }) => value.address))

const cursorsOf = async (bob: Receiver) =>
  (await bob.store.all(tables.cursors)).map(({ value }) => value.topic)

test('an account that was only looked up is forgotten after thirty days, everybody else is kept', async () => {
  const bob = await aReceiver()
  await bob.store.transaction([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: 1n, lastCreatedNs: 1n })],
    result: undefined,
  }))
  bob.parts.context.time.onNodeTime(BigInt(Date.now()) * 1_000_000n)
  const [lookedUp, wrote] = [
    await bob.sender({ stranger: true }),
    await bob.sender({ stranger: true }),
  ]
  const accepted = await bob.sender()
  const line = bob.begin(wrote)
  await bob.deliver(forge(line, { payload: set(4, textContent('hello')) }).message)
  const forget = () => forgetStrangers(bob.parts.context, bob.parts)
  const all = [lookedUp, wrote, accepted].map(({ address }) => address)
  await forget()
  expect(await knownOf(bob)).toEqual(new Set(all))
  bob.control.aheadMs = 29 * dayMs
  await forget()
  expect(await knownOf(bob)).toEqual(new Set(all))
  // Not twice a day.
  bob.control.aheadMs = 29 * dayMs + dayMs / 2
  await forget()
  bob.control.aheadMs = 31 * dayMs
  // Whatever node the client is connected to by then, nothing says that their topics were read.
  bob.parts.cursors.setNode(new Uint8Array(16).fill(9))
  await forget()
  expect(await knownOf(bob)).toEqual(new Set([wrote.address, accepted.address]))
  expect(await cursorsOf(bob)).not.toContain(`contact-${lookedUp.address}`)
  expect(await cursorsOf(bob)).toContain(`contact-${wrote.address}`)
  // It is looked up again when it matters, and none of it is news.
  const events = bob.events.length
  await bob.parts.directory.reread(lookedUp.address)
  expect(await knownOf(bob)).toContain(lookedUp.address)
  const kinds = bob.events.slice(events).map(({ kind }) => kind)
  expect(kinds).not.toContain('installation-added')
  const again = bob.begin(lookedUp)
  const { outcomes } = await bob.deliver(
    forge(again, { payload: set(4, textContent('it is me')) }).message,
  )
  expect(outcomes).toEqual(['kept'])
})
