/** Devices come and go: docs/protocol.md sections 3 and 9. */

import { expect, test } from 'vitest'
import type { ClientEvent } from '../../../src/engine/model.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { Network, NodeEnvelope } from '../../../src/network/network.ts'
import {
  anAccount,
  anEngineWorld,
  codeOf,
  freshDatabase,
  never,
  type Opened,
  signWith,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

const untilEvent = async ({ events }: Opened, found: (event: ClientEvent) => boolean) => {
  while (!events.some(found)) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** Alice with a laptop, a phone and a tablet; Bob with one device. */
const aFamily = async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = [freshDatabase(), freshDatabase(), freshDatabase()] as const
  const laptop = await world.open({ account: alice, database: databases[0] })
  const phone = await world.open({ account: alice, database: databases[1] })
  const tablet = await world.open({ account: alice, database: databases[2] })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [laptop, phone, tablet, atBob]) await untilState(each, 'live')
  const { id } = await atBob.engine.conversation(alice.address)
  await laptop.engine.conversation(bob.address)
  await atBob.engine.send(id, 'hello')
  for (const each of [laptop, phone, tablet]) await untilTexts(each, id, 1)
  return { world, alice, bob, databases, laptop, phone, tablet, atBob, id }
}

test('section 9: installations are listed with their keys, as the wallet was shown them', async () => {
  const { world, alice, laptop, atBob } = await aFamily()
  const own = await laptop.engine.installations(undefined)
  expect(own).toHaveLength(3)
  expect(own.filter(({ isThis }) => isThis).map(({ id }) => id)).toEqual([
    laptop.engine.installationId,
  ])
  for (const { keys, state } of own) {
    expect(state).toBe('valid')
    const line = `Installation Key: ${keys.curve25519}:${keys.ed25519}`
    expect(world.asked.filter((text) => text.includes(line))).toHaveLength(1)
  }
  const seen = await atBob.engine.installations(alice.address)
  expect(seen.map(({ id }) => id).sort()).toEqual(own.map(({ id }) => id).sort())
})

test('section 3: one signature revokes several; they stop, their history stays, and nothing more reaches them', async () => {
  const { world, laptop, phone, tablet, atBob, id } = await aFamily()
  const asked = world.asked.length
  await laptop.engine.revoke([phone.engine.installationId, tablet.engine.installationId], never)
  expect(world.asked).toHaveLength(asked + 1)
  expect(world.asked.at(-1)).toMatch(/^XMTP: Revoke Messaging Access\n/)
  expect(world.asked.at(-1)?.match(/Installation Key: /g)).toHaveLength(2)
  for (const each of [phone, tablet]) {
    await untilState(each, 'revoked')
    expect(await untilTexts(each, id, 1)).toEqual(['hello'])
  }
  for (const each of [laptop, atBob]) {
    const gone = new Set<string>()
    await untilEvent(each, (event) => {
      if (event.kind === 'installation-revoked') gone.add(event.installation.id)
      return gone.size === 2
    })
  }
  await atBob.engine.send(id, 'to who is left')
  expect(await untilTexts(laptop, id, 2)).toEqual(['hello', 'to who is left'])
  const inboxes = [phone, tablet].map(({ engine }) => `message-${engine.installationId}`)
  const page = await world.node.store.page(
    inboxes.map((topic) => ({ topic, afterSequence: 0n })),
    { envelopes: 500, bytes: 1e9 },
  )
  // The hello and nothing after it.
  expect(page.envelopes).toHaveLength(2)

  expect(await codeOf(phone.engine.send(id, 'from the lost phone'))).toBe('revoked')
  await laptop.engine.send(id, 'still here')
  expect(await untilTexts(atBob, id, 3)).toEqual(['hello', 'to who is left', 'still here'])
})

test('section 9: a revoked device makes new keys in one call, and keeps its history', async () => {
  const { world, alice, databases, laptop, phone, atBob, id } = await aFamily()
  const old = phone.engine.installationId
  // Nobody is there yet.
  const { id: waiting } = await phone.engine.conversation(anAccount().address)
  const unsent = await phone.engine.send(waiting, 'too late')
  const whenSent = async () => {
    // As an application's wait: each change of the reason ends one call.
    while ((await phone.engine.whenSent(unsent.id, never)).state === 'pending');
  }
  const sending = codeOf(whenSent())
  await laptop.engine.revoke([old], never)
  await untilState(phone, 'revoked')
  // What waits says why, whoever waits for it is told, and nothing more can be written.
  await untilEvent(
    phone,
    (event) => event.kind === 'message-state' && event.message.reason === 'revoked',
  )
  expect(await sending).toBe('revoked')
  expect(await codeOf(phone.engine.whenSent(unsent.id, never))).toBe('revoked')
  expect(await codeOf(phone.engine.send(id, 'much too late'))).toBe('revoked')
  await phone.engine.close()

  const still = await world.open({ account: alice, database: databases[1] })
  await untilState(still, 'revoked')
  expect(still.engine.installationId).toBe(old)
  expect(await codeOf(still.engine.send(id, 'still too late'))).toBe('revoked')
  await still.engine.close()

  const again = await world.open({ account: alice, database: databases[1], renew: true })
  await untilState(again, 'live')
  expect(again.engine.installationId).not.toBe(old)
  const history = await again.engine.history(id, undefined, 10)
  expect(history.map(({ content, state }) => [content, state])).toEqual([['hello', 'received']])
  const [late] = await again.engine.history(waiting, undefined, 10)
  expect(late).toMatchObject({ id: unsent.id, state: 'pending', reason: 'revoked' })
  await untilEvent(
    atBob,
    (event) =>
      event.kind === 'installation-added' && event.installation.id === again.engine.installationId,
  )
  await atBob.engine.send(id, 'welcome back')
  expect((await untilTexts(again, id, 2)).at(-1)).toBe('welcome back')
  await again.engine.send(id, 'thanks')
  expect(await untilTexts(atBob, id, 3)).toEqual(['hello', 'welcome back', 'thanks'])
  // Nothing to renew: the keys stay.
  const { installationId } = again.engine
  await again.engine.close()
  const fine = await world.open({ account: alice, database: databases[1], renew: true })
  expect(fine.engine.installationId).toBe(installationId)
})

test('section 9: a device can revoke itself', async () => {
  const { laptop, phone } = await aFamily()
  await phone.engine.revoke([phone.engine.installationId], never)
  await untilState(phone, 'revoked')
  const own = await laptop.engine.installations(undefined)
  expect(own.filter(({ state }) => state === 'revoked').map(({ id }) => id)).toEqual([
    phone.engine.installationId,
  ])
})

test('section 3: a wallet that declines, or is another one, revokes nothing', async () => {
  const world = await anEngineWorld()
  const [alice, mallory] = [anAccount(), anAccount()]
  let refuse = false
  let other = false
  const laptop = await world.open({
    account: alice,
    database: freshDatabase(),
    sign: async (text, signal) => {
      if (refuse) throw new PadlockError('wallet_rejected')
      return signWith(other ? mallory : alice)(text, signal)
    },
  })
  const phone = await world.open({ account: alice, database: freshDatabase() })
  for (const each of [laptop, phone]) await untilState(each, 'live')
  refuse = true
  expect(await codeOf(laptop.engine.revoke([phone.engine.installationId], never))).toBe(
    'wallet_rejected',
  )
  refuse = false
  other = true
  expect(await codeOf(laptop.engine.revoke([phone.engine.installationId], never))).toBe(
    'wallet_wrong_account',
  )
  const own = await laptop.engine.installations(undefined)
  expect(own.map(({ state }) => state)).toEqual(['valid', 'valid'])
})

test.each(['it follows', 'it only looked up'])(
  'section 8: a client that was live past a revocation takes nothing more from that device, even misdated by the node: an account that %s',
  async (how) => {
    const world = await anEngineWorld()
    const [alice, bob] = [anAccount(), anAccount()]
    const database = freshDatabase()
    const laptop = await world.open({ account: alice, database: freshDatabase() })
    const phone = await world.open({ account: alice, database: freshDatabase() })
    for (const each of [laptop, phone]) await untilState(each, 'live')
    let held: NodeEnvelope | undefined
    // The node keeps the phone's mail to Bob back.
    const holding = (real: Network): Network => ({
      ...real,
      async *subscribe(...args) {
        for await (const frame of real.subscribe(...args)) {
          if (frame.kind !== 'envelopes') yield frame
          else {
            const mail = frame.envelopes.find(({ topic }) => topic.startsWith('message-'))
            held ??= mail
            yield { ...frame, envelopes: frame.envelopes.filter((one) => one !== held) }
          }
        }
      },
    })
    const first = await world.open({ account: bob, database, network: holding })
    await untilState(first, 'live')
    const { id } = await phone.engine.conversation(bob.address)
    if (how === 'it follows') await first.engine.conversation(alice.address)
    else expect(await first.engine.canMessage(alice.address)).toBe(true)
    await phone.engine.send(id, 'held back')
    while (!held) await new Promise((resolve) => setTimeout(resolve, 2))
    await laptop.engine.revoke([phone.engine.installationId], never)
    // Asks the node about an account that it does not follow.
    if (how !== 'it follows') await first.engine.installations(alice.address)
    await untilEvent(first, ({ kind }) => kind === 'installation-revoked')
    await first.engine.close()

    // And brings it after Bob's device came back, with the time of before the revocation.
    const late = held
    const bringing = (real: Network): Network => ({
      ...real,
      async *subscribe(...args) {
        for await (const frame of real.subscribe(...args)) {
          if (frame.kind === 'started') {
            yield frame
            yield { kind: 'envelopes', envelopes: [{ ...late, sequence: 50n }] }
          } else yield frame
        }
      },
    })
    const again = await world.open({ account: bob, database, network: bringing })
    await untilState(again, 'live')
    await untilEvent(
      again,
      (event) => event.kind === 'envelopes' && event.code === 'sender_revoked',
    )
    expect(await again.engine.history(id, undefined, 10)).toEqual([])
  },
)
