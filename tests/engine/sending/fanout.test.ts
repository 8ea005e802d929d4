/** Claiming prekeys and sealing for many: docs/protocol.md sections 5, 6 and 8, Out; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../../src/engine/runtime/context.ts'
import type { Session } from '../../../src/engine/sessions/session-rules.ts'
import type { ClaimedKey } from '../../../src/network/network.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { buildConversationId, digestEnvelope } from '../../../src/protocol/ids.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  aClaimedKey,
  aDevice,
  aPartWorld,
  known,
  sendingParts,
} from '../../support/engine-context.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** One part alone, with recipients whose prekeys the node gives as `change` leaves them. */
const aFanout = async (count = 1) => {
  const devices = new Map<string, Account>()
  const claims: { readonly id: string; readonly ids: readonly string[] }[] = []
  const node: { change: (claimed: ClaimedKey) => ClaimedKey; isDown: boolean } = {
    change: (claimed) => claimed,
    isDown: false,
  }
  const world = await aPartWorld()
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      claimPrekeys: async (claimId, ids) => {
        claims.push({ id: encodeHex(claimId), ids: [...ids] })
        if (node.isDown) throw new Error('down')
        return ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [node.change(aClaimedKey(device))] : []
        })
      },
    },
  }
  const parts = sendingParts(context)
  const recipients = Array.from({ length: count }, () => {
    const device = aDevice()
    devices.set(device.installationId, device)
    return known(device)
  })
  const [first] = recipients
  if (!first) throw new Error('no recipient')
  const message = (to = recipients, text = 'hello') => ({
    conversationId: buildConversationId(context.account.address, first.address),
    content: new TextEncoder().encode(text),
    composedNs: 1n,
    recipients: to,
  })
  const save = async (sessions: readonly Session[]) => {
    await commit(world.store, parts.sessions.statesChange(sessions))
  }
  return {
    ...world,
    context,
    parts,
    fanout: parts.fanout,
    node,
    claims,
    recipients,
    first,
    message,
    save,
  }
}

test('a claim is saved before it is asked, and one whose answer was lost is asked with the same id for nine minutes', async () => {
  const { fanout, node, claims, recipients, store, turn } = await aFanout(3)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(claims.map(({ id }) => id)).toEqual([encodeHex(saved?.claimId ?? new Uint8Array())])
  expect(saved?.installationIds).toEqual(recipients.map(({ id }) => id))
  // The same ones or fewer of them: the node remembers that answer.
  turn(9 * minuteMs - 1)
  await expect(fanout.prepare(recipients.slice(1))).rejects.toThrow('down')
  expect(new Set(claims.map(({ id }) => id)).size).toBe(1)
  turn(1)
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  expect(claims[2]?.id).not.toBe(claims[0]?.id)
  expect(claims[0]?.id).toHaveLength(32)
})

test('section 5: one claim id stands for all requests of more than 200 installations, so that none burns a second key', async () => {
  const { fanout, node, claims, recipients, store } = await aFanout(201)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(saved?.installationIds).toHaveLength(201)
  node.isDown = false
  claims.length = 0
  await fanout.prepare(recipients)
  const id = encodeHex(saved?.claimId ?? new Uint8Array())
  expect(claims.map((claim) => claim.id)).toEqual([id, id])
})

test('section 7: what claims, seals and saves does so one after the other, so that no key makes two sessions', async () => {
  const { fanout } = await aFanout()
  const done: string[] = []
  const first = Promise.withResolvers<void>()
  const one = fanout.runExclusive(async () => {
    await first.promise
    done.push('one')
  })
  const two = fanout.runExclusive(async () => {
    done.push('two')
  })
  await Promise.resolve()
  expect(done).toEqual([])
  first.resolve()
  await Promise.all([one, two])
  expect(done).toEqual(['one', 'two'])
})

test('who asks for somebody else too asks with a new id', async () => {
  const { fanout, node, claims, recipients } = await aFanout(3)
  node.isDown = true
  await expect(fanout.prepare(recipients.slice(0, 2))).rejects.toThrow('down')
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  expect(new Set(claims.map(({ id }) => id)).size).toBe(2)
})

test('a claim is forgotten with the sessions made from it, and not before', async () => {
  const all = await aFanout()
  const { fanout, recipients, store, claims } = all
  const fresh = await fanout.prepare(recipients)
  expect(await store.get(tables.claim, 'claim')).toBeDefined()
  // Not taken up: asked for again, the node gives the same keys.
  await fanout.prepare(recipients)
  expect(new Set(claims.map(({ id }) => id)).size).toBe(1)
  const sealed = fanout.seal([all.message()], fresh)
  if (!sealed) throw new Error('not sealed')
  await commit(store, sealed.change)
  expect(await store.get(tables.claim, 'claim')).toBeUndefined()
  // On a session that is there nothing was claimed, so nothing is forgotten.
  const again = fanout.seal([all.message()], new Map())
  expect(again?.change.writes.map(({ kind, table }) => [kind, table.store])).toEqual([
    ['put', 'sessions'],
  ])
})

test('a new session whatever there is has a claim of its own, which forgets no other', async () => {
  const { fanout, node, recipients, claims, store, first } = await aFanout(2)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  node.isDown = false
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[1]?.id).not.toBe(claims[0]?.id)
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(encodeHex(saved?.claimId ?? new Uint8Array())).toBe(claims[0]?.id)
})

test('section 5: the claim for a new session is asked again with its id until the session is saved, and never after', async () => {
  const { fanout, node, claims, first, store } = await aFanout()
  node.isDown = true
  await expect(fanout.prepareNew(first)).rejects.toThrow('down')
  node.isDown = false
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[1]?.id).toBe(claims[0]?.id)
  await commit(store, fanout.claimOfOneUsed())
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[2]?.id).not.toBe(claims[0]?.id)
})

test('at most 200 installations are named in a claim: section 11', async () => {
  const { fanout, recipients, claims } = await aFanout(401)
  const fresh = await fanout.prepare(recipients)
  expect(claims.map(({ ids }) => ids.length)).toEqual([200, 200, 1])
  expect(new Set(claims.flatMap(({ ids }) => ids)).size).toBe(401)
  expect(fresh.size).toBe(401)
})

test('nobody is claimed for who has a session to send on', async () => {
  const all = await aFanout(2)
  const { fanout, recipients, claims, first } = all
  const fresh = await fanout.prepare([first])
  await all.save([...fresh.values()])
  claims.length = 0
  await fanout.prepare(recipients)
  expect(claims.map(({ ids }) => ids)).toEqual([[recipients[1]?.id]])
})

test.each([
  [
    'a prekey that somebody else signed',
    (claimed: ClaimedKey): ClaimedKey => ({
      ...aClaimedKey(aDevice()),
      installationId: claimed.installationId,
    }),
  ],
  ['no prekey', (claimed: ClaimedKey): ClaimedKey => ({ ...claimed, prekey: undefined })],
  [
    'a prekey for an identity key of small order',
    // The signature is the installation’s own: it may be the one that cheats.
    (claimed: ClaimedKey): ClaimedKey => claimed,
  ],
])(
  '%s makes no session, and nobody claims there again for an hour: section 6',
  async (what, change) => {
    const all = await aFanout(2)
    const { fanout, node, recipients, first, claims, turn } = all
    const [, second] = recipients
    if (!second) return
    node.change = (claimed) => (claimed.installationId === first.id ? change(claimed) : claimed)
    const mine =
      what === 'a prekey for an identity key of small order'
        ? { ...first, keys: { ...first.keys, curve25519: new Uint8Array(32) } }
        : first
    const fresh = await fanout.prepare([mine, second])
    expect([...fresh.keys()]).toEqual([second.id])
    expect(fanout.reachable([mine, second], fresh)).toEqual([second])
    // Who cheats with signatures is told of, once.
    const told = all.context.status.current.warnings.filter(({ code }) => code === 'bad_signature')
    expect(told.map(({ count }) => count)).toEqual(what.includes('signed') ? [1] : [])
    node.change = (claimed) => claimed
    await all.save([...fresh.values()])
    turn(hourMs - 1)
    expect((await fanout.prepare([first, second])).size).toBe(0)
    expect(claims).toHaveLength(1)
    turn(1)
    expect((await fanout.prepare([first, second])).size).toBe(1)
    expect(claims).toHaveLength(2)
  },
)

test('who has no session, and gave no key, cannot be encrypted to', async () => {
  const { fanout, first } = await aFanout()
  expect(fanout.reachable([first], new Map())).toEqual([])
  const fresh = await fanout.prepare([first])
  expect(fanout.reachable([first], fresh)).toEqual([first])
})

test('section 8: at most one claim an hour, but who is heard of gets it on the session that came', async () => {
  const { fanout, node, first, claims, save } = await aFanout()
  // Stands for the one that they make.
  const theirs = await fanout.prepare([first])
  claims.length = 0
  node.change = (claimed) => ({ ...claimed, prekey: undefined })
  await fanout.prepare([first])
  node.change = (claimed) => claimed
  await fanout.prepare([first])
  expect(claims).toHaveLength(1)
  fanout.markReachable(first)
  expect((await fanout.prepare([first])).size).toBe(0)
  expect(await fanout.prepareNew(first)).toBeUndefined()
  expect(claims).toHaveLength(1)
  const [session] = [...theirs.values()]
  if (!session) throw new Error('no session')
  expect(fanout.reachable([first], new Map())).toEqual([])
  await save([session])
  expect(fanout.reachable([first], new Map())).toEqual([first])
})

test('an installation with an unusable sealing key is passed over for an hour: nobody encrypts to it', async () => {
  const all = await aFanout(2)
  const { fanout, recipients, first, turn } = all
  const fresh = await fanout.prepare(recipients)
  const bad = { ...first, sealingKey: new Uint8Array(32) }
  const [, second] = recipients
  if (!second) return
  expect(fanout.seal([all.message([bad, second])], fresh)).toBeUndefined()
  expect(fanout.reachable([bad, second], fresh)).toEqual([second])
  turn(hourMs - 1)
  expect(fanout.reachable([bad], fresh)).toEqual([])
  turn(1)
  expect(fanout.reachable([first], fresh)).toEqual([first])
})

test('each message is sealed once for each of its recipients, to their topic, under its digest', async () => {
  const all = await aFanout(3)
  const { fanout, recipients } = all
  const fresh = await fanout.prepare(recipients)
  const [one, two, three] = recipients
  if (!one || !two || !three) return
  const sealed = fanout.seal(
    [all.message([one, two], 'for two'), all.message([two, three], 'for two others')],
    fresh,
  )
  expect(
    sealed?.rows.map((rows) =>
      rows.map(({ topic, address, recipient }) => ({ topic, address, recipient })),
    ),
  ).toEqual(
    [
      [one, two],
      [two, three],
    ].map((to) =>
      to.map(({ id, address }) => ({ topic: messageTopic(id), address, recipient: id })),
    ),
  )
  for (const { message, digest } of sealed?.rows.flat() ?? []) {
    expect(digest).toEqual(digestEnvelope(message))
  }
  if (!sealed) throw new Error('not sealed')
  expect(sealed.change.writes.filter(({ table }) => table.store === 'sessions')).toHaveLength(3)
  await commit(all.store, sealed.change)
  const sessions = recipients.flatMap(({ id }) => all.parts.sessions.of(id))
  const sent = new Map(sessions.map((session) => [session.installationId, session.sentSince]))
  expect(sent).toEqual(
    new Map([
      [one.id, 1],
      [two.id, 2],
      [three.id, 1],
    ]),
  )
  // Each session comes once, and has moved on.
  for (const session of sessions) {
    expect(session.state).not.toEqual(fresh.get(session.installationId)?.state)
  }
})

test('a new session begins with nothing decrypted and nothing sent', async () => {
  const { fanout, first, clock } = await aFanout()
  expect(await fanout.prepareNew(first)).toMatchObject({
    installationId: first.id,
    createdMs: clock.nowMs,
    firstDecryptedMs: 0,
    lastDecryptedMs: 0,
    sentSince: 0,
    isClosed: false,
  })
})

test('after a restart nobody is claimed for who has a session in the store, and no session is lost', async () => {
  const all = await aFanout()
  const { context, first, claims, recipients } = all
  const made = await all.fanout.prepareNew(first)
  if (!made) throw new Error('no session')
  await all.save([made])
  claims.length = 0
  const again = sendingParts(context)
  expect((await again.fanout.prepare(recipients)).size).toBe(0)
  expect(claims).toEqual([])
  expect(again.fanout.reachable(recipients, new Map())).toEqual(recipients)
  // A new session beside it does not push it out of memory either.
  const later = sendingParts(context)
  const second = await later.fanout.prepareNew(first)
  if (!second) throw new Error('no session')
  await commit(all.store, later.sessions.statesChange([second]))
  expect(later.sessions.of(first.id)).toHaveLength(2)
})

test('the first message of a session tells the heads of both accounts, the next ones do not: section 8', async () => {
  const all = await aFanout()
  const { parts, fanout, recipients } = all
  parts.cursors.setNode(new Uint8Array(16).fill(1))
  const fresh = await fanout.prepare(recipients)
  const first = fanout.seal([all.message(), all.message()], fresh)
  if (!first) throw new Error('not sealed')
  const [one, two] = first.rows.map((rows) => rows[0]?.message.length ?? 0)
  expect(one).toBeGreaterThan(two ?? 0)
  await commit(all.store, first.change)
  const told = () => recipients.flatMap(({ id }) => parts.sessions.of(id)).map((s) => s.headsTold)
  const toldFirst = told()
  expect(toldFirst.map((digests) => digests?.length)).toEqual([16])
  const next = fanout.seal([all.message()], new Map())
  if (!next) throw new Error('not sealed')
  expect(next.rows[0]?.[0]?.message.length).toBe(two)
  await commit(all.store, next.change)
  expect(told()).toEqual(toldFirst)
})
