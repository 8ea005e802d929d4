/** Keys that age: docs/protocol.md sections 2 and 6, by a clock that the test turns. */

import { expect, test } from 'vitest'
import type { Engine } from '../../../src/engine/engine.ts'
import type { ClientEvent } from '../../../src/engine/model.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { Network } from '../../../src/network/network.ts'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { parseAddress } from '../../../src/protocol/ids.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import { contactTopic, parseTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  until,
  untilState,
} from '../../support/engine.ts'

const never = new AbortController().signal
const dayMs = 86_400_000
const startMs = Date.UTC(2026, 10, 20)

/** A world whose node and devices have one clock, turned by hand. */
const aWorldWithClock = async () => {
  const clock = { nowMs: startMs }
  const world = await anEngineWorld({ clock: () => BigInt(clock.nowMs) * 1_000_000n })
  const platform = { nowMs: () => clock.nowMs }
  return { clock, world, platform }
}

/** Records uploads; `refuse` is thrown at the next one. */
const watchUploads = (real: Network) => {
  const uploads: ReturnType<typeof parsePrekeyUpload>[] = []
  const state: { refuse: PadlockError | undefined } = { refuse: undefined }
  const network: Network = {
    ...real,
    publish: async (envelopes, signal) => {
      for (const { topic, message } of envelopes) {
        const parts = parseTopic(topic)
        if (!parts.ok || parts.value.kind !== 'prekey') continue
        uploads.push(parsePrekeyUpload(message))
        const { refuse } = state
        state.refuse = undefined
        if (refuse) throw refuse
      }
      return real.publish(envelopes, signal)
    },
  }
  return { uploads, state, network }
}

const secretsOf = async (world: EngineWorld, database: string) => {
  const store = await world.openStore(database)
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  const identity = (await store.get(tables.identity, 'identity'))?.value
  store.close()
  if (!prekeys || !sealing || !identity) throw new Error('no account')
  return { prekeys, sealing, identity }
}

const bundlesOf = async (world: EngineWorld, account: { readonly address: string }) => {
  const address = parseAddress(account.address)
  if (!address.ok) throw new Error('address')
  const topic = contactTopic(address.value)
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  return envelopes.map(({ message }) => {
    const bundle = parseContactBundle(message)
    if (!bundle.ok) throw new Error('bundle')
    return bundle.value
  })
}

const textsOf = async (
  { engine }: { readonly engine: Engine; readonly events: readonly ClientEvent[] },
  id: string,
  count: number,
) => {
  const texts: (string | undefined)[] = []
  for (let after = '0'; texts.length < count; ) {
    const page = await engine.nextMessages(after, id, never)
    texts.push(...page.messages.map(({ content }) => content))
    after = page.cursor
  }
  return texts
}

test('section 2: the sealing key is rotated after 30 days, and mail to the two before it is still opened', async () => {
  const { clock, world, platform } = await aWorldWithClock()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  let sent = 0
  for (const days of [0, 29, 30, 60, 90]) {
    clock.nowMs = startMs + days * dayMs
    const atBob = await world.open({ account: bob, database, platform })
    await untilState(atBob, 'live')
    const expected = Math.floor(days / 30) + 1
    await until(async () => (await bundlesOf(world, bob)).length === expected)
    // Mail that was under way while the key changed.
    await atAlice.engine.send(id, `after ${days} days`)
    sent += 1
    expect(await textsOf(atBob, id, sent)).toHaveLength(sent)
    await atBob.engine.close()
  }
  const { sealing, identity } = await secretsOf(world, database)
  expect(sealing.secrets).toHaveLength(3)
  expect(sealing.pendingBundle).toHaveLength(0)
  const bundles = await bundlesOf(world, bob)
  expect(sealing.secrets.map(({ publicKey }) => publicKey)).toEqual(
    bundles
      .slice(-3)
      .reverse()
      .map(({ sealingKey }) => sealingKey.key),
  )
  const stored = parseContactBundle(identity.contactBundle)
  expect(stored.ok && stored.value.sealingKey.key).toEqual(bundles.at(-1)?.sealingKey.key)
})

test('section 2: a rotation whose answer was lost goes out again with the same bytes', async () => {
  const { clock, world, platform } = await aWorldWithClock()
  const bob = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account: bob, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  clock.nowMs += 31 * dayMs
  const offered: Uint8Array[] = []
  let answered = 0
  const watch =
    (losesAnswers: boolean) =>
    (real: Network): Network => ({
      ...real,
      publish: async (envelopes, signal) => {
        const receipts = await real.publish(envelopes, signal)
        const bundle = envelopes.find(({ topic }) => topic.startsWith('contact-'))
        if (bundle) offered.push(bundle.message)
        if (bundle && losesAnswers) throw new PadlockError('network_unavailable')
        if (bundle) answered += 1
        return receipts
      },
    })
  const second = await world.open({ account: bob, database, platform, network: watch(true) })
  await untilState(second, 'live')
  await until(() => offered.length === 1)
  await second.engine.close()
  const third = await world.open({ account: bob, database, platform, network: watch(false) })
  await untilState(third, 'live')
  await until(() => answered === 1)
  await third.engine.close()
  expect(offered[1]).toEqual(offered[0])
  expect((await secretsOf(world, database)).sealing.pendingBundle).toHaveLength(0)
  expect(await bundlesOf(world, bob)).toHaveLength(2)
})

test('section 2: the fallback key is rotated after 7 days and the one before it kept until the next time', async () => {
  const { clock, world, platform } = await aWorldWithClock()
  const bob = anAccount()
  const database = freshDatabase()
  const keys: (Uint8Array | undefined)[] = []
  for (const days of [0, 6, 7, 14, 21]) {
    clock.nowMs = startMs + days * dayMs
    const { uploads, network } = watchUploads(world.network)
    const atBob = await world.open({ account: bob, database, platform, network: () => network })
    await untilState(atBob, 'live')
    if (days > 6) {
      await until(() => uploads.length === 1)
      const [upload] = uploads
      expect(upload?.ok && upload.value.replace).toBe(false)
    }
    await atBob.engine.close()
    const { prekeys } = await secretsOf(world, database)
    expect(prekeys.fallback).toHaveLength(days < 7 ? 1 : 2)
    keys.push(prekeys.fallback[0]?.publicKey)
    if (days > 7) expect(prekeys.fallback[1]?.publicKey).toEqual(keys.at(-2))
  }
  expect(keys[1]).toEqual(keys[0])
  expect(new Set(keys.map((key) => Buffer.from(key ?? []).toString('hex'))).size).toBe(4)
})

test('section 2: one-time secrets that nobody used are dropped after 90 days', async () => {
  const { clock, world, platform } = await aWorldWithClock()
  const bob = anAccount()
  const database = freshDatabase()
  let newest = 0n
  for (const [days, old] of [
    [0, 50],
    [80, 50],
    [90, 0],
  ] as const) {
    clock.nowMs = startMs + days * dayMs
    const atBob = await world.open({ account: bob, database, platform })
    await untilState(atBob, 'live')
    // The fallback is rotated each time, after the old ones were dropped.
    const stock = () => world.node.store.stock(atBob.engine.installationId)
    await until(async () => (await stock()).newestCreatedNs > newest)
    newest = (await stock()).newestCreatedNs
    await atBob.engine.close()
    const { prekeys } = await secretsOf(world, database)
    const isFirst = ({ createdNs }: { readonly createdNs: bigint }) =>
      createdNs < BigInt(startMs + dayMs) * 1_000_000n
    expect(prekeys.oneTime.filter(isFirst)).toHaveLength(old)
    // The node dropped its copies after 30 days and has new ones.
    expect(prekeys.oneTime.length).toBeGreaterThanOrEqual(50)
  }
})

test('section 6: after a prekey message the stock is filled again without being told', async () => {
  const { world } = await aWorldWithClock()
  const [bob] = [anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  await untilState(atBob, 'live')
  const stock = () => world.node.store.stock(atBob.engine.installationId)
  for (let n = 0; n < 26; n += 1) {
    const friend = await world.open({ account: anAccount(), database: freshDatabase() })
    const chat = await friend.engine.conversation(bob.address)
    await friend.engine.send(chat.id, `hi ${n}`)
    await untilState(friend, 'live')
    const texts = await textsOf(atBob, chat.id, 1)
    expect(texts).toEqual([`hi ${n}`])
    await friend.engine.close()
  }
  await until(async () => (await stock()).oneTimeLeft === 50)
})

test('section 6: a stale upload is made anew: its keys go, its fallback comes again', async () => {
  const { clock, world, platform } = await aWorldWithClock()
  const bob = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account: bob, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  clock.nowMs += 8 * dayMs
  const { uploads, state, network } = watchUploads(world.network)
  state.refuse = new PadlockError('stale_upload')
  const second = await world.open({ account: bob, database, platform, network: () => network })
  await untilState(second, 'live')
  await until(() => uploads.length === 2)
  const [stale, anew] = uploads
  if (!stale?.ok || !anew?.ok) throw new Error('uploads')
  expect(anew.value.fallback?.key).toEqual(stale.value.fallback?.key)
  expect(anew.value.createdNs).toBeGreaterThan(stale.value.createdNs)
  await until(async () => {
    const { newestCreatedNs } = await world.node.store.stock(second.engine.installationId)
    return newestCreatedNs === anew.value.createdNs
  })
  await second.engine.close()
  const { prekeys } = await secretsOf(world, database)
  const discarded = stale.value.oneTime.map(({ key }) => Buffer.from(key).toString('hex'))
  for (const { publicKey } of prekeys.oneTime) {
    expect(discarded).not.toContain(Buffer.from(publicKey).toString('hex'))
  }
  expect(prekeys.pendingUpload).toHaveLength(0)
})
