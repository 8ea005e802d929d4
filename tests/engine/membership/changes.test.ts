/** docs/protocol.md sections 3 and 9: who belongs to an account, and that the application is told. */

import { expect, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { networkOver } from '../../../src/network/connect.ts'
import { buildContactBundle, parseContactBundle } from '../../../src/protocol/contact.ts'
import { buildRevocation } from '../../../src/protocol/revocation.ts'
import { sealingKeySigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { buildRevocationText, formatCurrentTime } from '../../../src/protocol/signing-texts.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { addressOf, passed } from '../../support/checked.ts'
import {
  anAccount,
  codeOf,
  type EngineWorld,
  freshDatabase,
  isSent,
  never,
  type Opened,
  signWith,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld, insiderOf } from '../../support/turned-world.ts'

const told = ({ events }: Opened, kind: 'installation-added' | 'installation-revoked') =>
  events.flatMap((event) => (event.kind === kind ? [event.installation.id] : []))

/** The bundles on an account's contact topic, oldest first. */
const bundlesOf = async (world: EngineWorld, account: { readonly address: string }) => {
  const topic = contactTopic(addressOf(account))
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  return envelopes.map(({ message }) => ({ message, bundle: passed(parseContactBundle(message)) }))
}

test('section 9: a device that our account gained while this one was away is reported', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const alice = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account: alice, database, platform })
  await untilState(first, 'live')
  expect(told(first, 'installation-added')).toEqual([])
  await first.engine.close()
  const thief = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(thief, 'live')
  const again = await world.open({ account: alice, database, platform })
  await untilState(again, 'live')
  expect(told(again, 'installation-added')).toEqual([thief.engine.installationId])
  await again.engine.close()
  // Once.
  const later = await world.open({ account: alice, database, platform })
  await untilState(later, 'live')
  expect(told(later, 'installation-added')).toEqual([])
})

test('section 9: a device that our account gained at a node of another id is reported too', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const alice = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account: alice, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  const other = createInProcessNode({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  const network = () => networkOver(other.transport)
  const thief = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(thief, 'live')
  const again = await world.open({ account: alice, database, platform, network })
  await untilState(again, 'live')
  expect(told(again, 'installation-added')).toEqual([thief.engine.installationId])
  await again.engine.close()
  await thief.engine.close()
  await other.close()
})

test('section 9: devices that either account of a conversation gains and loses are reported, of others nothing', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob, carol] = [anAccount(), anAccount(), anAccount()]
  const open = (account: typeof alice) =>
    world.open({ account, database: freshDatabase(), platform })
  const phone = await open(bob)
  const carols = await open(carol)
  const atAlice = await open(alice)
  for (const each of [phone, carols, atAlice]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'hello')
  await untilTexts(phone, id, 1)
  const tablet = await open(bob)
  const laptop = await open(alice)
  const strange = await open(carol)
  for (const each of [tablet, laptop, strange]) await untilState(each, 'live')
  const gained = [tablet, laptop].map(({ engine }) => engine.installationId).sort()
  await until(() => told(atAlice, 'installation-added').length === 2)
  expect(told(atAlice, 'installation-added').sort()).toEqual(gained)
  await phone.engine.revoke([tablet.engine.installationId], never)
  await atAlice.engine.revoke([laptop.engine.installationId], never)
  await until(() => told(atAlice, 'installation-revoked').length === 2)
  expect(told(atAlice, 'installation-revoked').sort()).toEqual(gained)
  expect(told(phone, 'installation-revoked')).toContain(tablet.engine.installationId)
})

test('section 9: a revoked device publishes and claims nothing more, and says so when it should send', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const line = aLine()
  const { network } = line
  const database = freshDatabase()
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  const phone = await world.open({ account: alice, database, platform, network })
  const laptop = await world.open({ account: alice, database: freshDatabase(), platform })
  for (const each of [atBob, phone, laptop]) await untilState(each, 'live')
  const { id } = await phone.engine.conversation(bob.address)
  await phone.engine.send(id, 'before')
  await until(() => isSent(phone, id, 'before'))
  await laptop.engine.revoke([phone.engine.installationId], never)
  await untilState(phone, 'revoked')
  const done = [line.published.length, line.claimed.length]
  expect(await codeOf(phone.engine.send(id, 'after'))).toBe('revoked')
  // A new device of the peer, which a valid one would begin a session with.
  const tablet = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(tablet, 'live')
  await laptop.engine.send(id, 'from the laptop')
  await untilTexts(tablet, id, 1)
  expect([line.published.length, line.claimed.length]).toEqual(done)
  const history = await phone.engine.history(id, undefined, 10)
  expect(history.map(({ content, state }) => [content, state])).toEqual([['before', 'sent']])
  // Opened again it knows, and still says nothing.
  await phone.engine.close()
  const again = await world.open({ account: alice, database, platform, network })
  await untilState(again, 'revoked')
  expect((await again.engine.history(id, undefined, 10)).length).toBe(1)
  expect([line.published.length, line.claimed.length]).toEqual(done)
})

test('section 9: of the sealing keys of an installation the greatest verified created_ns wins, in whatever order they come', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const bobDatabase = freshDatabase()
  const atBob = await world.open({ account: bob, database: bobDatabase, platform })
  await untilState(atBob, 'live')
  await atBob.engine.close()
  const insider = await insiderOf(world, bobDatabase)
  const [genuine] = await bundlesOf(world, bob)
  if (!genuine) throw new Error('no bundle')
  const { address, installationId, sealingKey } = genuine.bundle
  const keyAt = (createdNs: bigint, signs: boolean) => {
    const [pair] = world.crypto.createKeyPairs(1)
    if (!pair) throw new Error('no key')
    const key = pair.publicKey
    const text = sealingKeySigningBytes({ address, installationId, createdNs, key })
    const [signature = new Uint8Array()] = world.crypto.sign(insider.identity, [
      signs ? text : text.subarray(1),
    ])
    return buildContactBundle({ ...genuine.bundle, sealingKey: { key, createdNs, signature } })
  }
  const { createdNs } = sealingKey
  const newest = keyAt(createdNs + 5n, true)
  // What a node serves that does not keep to its rules.
  const served = [
    keyAt(createdNs + 9n, false),
    newest,
    keyAt(createdNs + 5n, true),
    keyAt(createdNs + 4n, true),
  ]
  const topic = contactTopic(address)
  const aliceDatabase = freshDatabase()
  const atAlice = await world.open({
    account: alice,
    database: aliceDatabase,
    platform,
    network: (real) => ({
      ...real,
      query: async (topics, signal) => {
        const page = await real.query(topics, signal)
        const extra = served.map((message, at) => ({
          topic,
          sequence: BigInt(at + 2),
          nodeNs: (page.envelopes[0]?.nodeNs ?? 0n) + BigInt(at + 1),
          message,
        }))
        return { ...page, envelopes: [...page.envelopes, ...extra] }
      },
    }),
  })
  await untilState(atAlice, 'live')
  await atAlice.engine.installations(bob.address)
  await atAlice.engine.close()
  const store = await world.openStore(aliceDatabase)
  const known = (await store.all(tables.installations)).find(
    ({ value }) => value.installationId === installationId,
  )
  expect(known?.value.sealingKey).toEqual(passed(parseContactBundle(newest)).sealingKey.key)
  expect(known?.value.sealingCreatedNs).toBe(createdNs + 5n)
  expect(known?.value.firstSeenNs).toBe(BigInt(clocks.nodeMs) * 1_000_000n)
})

test('section 3: a revocation under another address revokes nothing of this one', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob, mallory] = [anAccount(), anAccount(), anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const { id: mallorys } = await atAlice.engine.conversation(mallory.address)
  const [genuine] = await bundlesOf(world, bob)
  if (!genuine) throw new Error('no bundle')
  const address = addressOf(mallory)
  const currentTime = formatCurrentTime(clocks.nowMs)
  const installations = [genuine.bundle.keys]
  const text = passed(
    buildRevocationText({ address, currentTime, installations, chainId: undefined }),
  )
  const signature = await signWith(mallory)(text, never)
  const message = buildRevocation({
    address,
    currentTime,
    installations,
    signature: { kind: 'eip191', signature },
  })
  // An installation that this account never granted may be revoked by it.
  await world.network.publish([{ topic: revokedTopic(address), message }])
  await atAlice.engine.installations(mallory.address)
  await atAlice.engine.send(id, 'still there?')
  expect(await untilTexts(atBob, id, 1)).toEqual(['still there?'])
  const [bobs] = await atAlice.engine.installations(bob.address)
  expect(bobs?.state).toBe('valid')
  expect(mallorys).toContain(address)
  expect(atBob.engine.status.state).toBe('live')
})
