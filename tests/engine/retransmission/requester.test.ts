/** Asking for what could not be decrypted: the numbers of docs/protocol.md section 10, one part alone. */

import { expect, test, vi } from 'vitest'
import { decodeRetransmitRequest } from '../../../src/content/retransmit.ts'
import type { KnownInstallation } from '../../../src/engine/membership/directory.ts'
import type {
  RetransmittedEnvelope,
  UndecryptableEnvelope,
} from '../../../src/engine/retransmission/requester.ts'
import { Requester } from '../../../src/engine/retransmission/requester.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../../src/engine/runtime/context.ts'
import { PadlockError } from '../../../src/errors.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { freshDatabase, until } from '../../support/engine.ts'
import {
  aClaimedKey,
  aDevice,
  aPartWorld,
  known,
  type PartWorld,
  type SealCall,
  sendingParts,
} from '../../support/engine-context.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

let digests = 0
const aDigest = (): Uint8Array => {
  const digest = new Uint8Array(32)
  new DataView(digest.buffer).setUint32(0, ++digests)
  return digest
}

/** An envelope of this sender that could not be decrypted. */
const aFailure = (
  from: KnownInstallation,
  digest = aDigest(),
  nodeNs = 7n,
): UndecryptableEnvelope => ({ from, digest, nodeNs })

/** One part alone, with peers whose prekeys the node gives. */
const aRecovery = async (count = 1, given: Partial<Context> & { database?: string } = {}) => {
  const devices = new Map<string, Account>()
  const claims: string[][] = []
  const refuse: { error: PadlockError | undefined } = { error: undefined }
  /** What happens while the node is asked for a prekey. */
  const meanwhile: { run: () => Promise<unknown>; isEmpty: boolean } = {
    run: async () => undefined,
    isEmpty: false,
  }
  const bare = await aPartWorld(given)
  const context: Context = {
    ...bare.context,
    network: {
      ...bare.context.network,
      claimPrekeys: async (_, ids) => {
        if (refuse.error) throw refuse.error
        claims.push([...ids])
        await meanwhile.run()
        if (meanwhile.isEmpty) return []
        return ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [aClaimedKey(device)] : []
        })
      },
    },
  }
  const world: PartWorld = {
    ...bare,
    context,
    get waits() {
      return bare.waits
    },
  }
  await world.store.transaction([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: 5n, lastCreatedNs: 6n })],
    result: undefined,
  }))
  world.committed.length = 0
  const parts = sendingParts(context)
  const peers = Array.from({ length: count }, () => {
    const device = aDevice()
    devices.set(device.installationId, device)
    const peer = known(device)
    parts.directory.people.set(peer.address, [peer])
    return peer
  })
  const start = () => {
    const recovery = new Requester(context, parts)
    return recovery
  }
  const recovery = start()
  const note = async (
    failed: readonly UndecryptableEnvelope[],
    came: readonly RetransmittedEnvelope[] = [],
  ) => {
    const noted = recovery.failuresChange(failed, came)
    await commit(world.store, noted)
    return noted
  }
  /** Until the loop has done what there was to do. */
  const settled = () => until(() => world.waits.length > 0)
  const run = async (one = recovery) => {
    void one.run()
    one.setLive(true)
    await settled()
  }
  const turn = async (ms: number) => {
    world.turn(ms)
    await settled()
  }
  return {
    world,
    parts,
    peers,
    devices,
    claims,
    refuse,
    meanwhile,
    recovery,
    note,
    run,
    turn,
    settled,
    start,
  }
}

/** The digests that a request asks for. */
const askedIn = ({ messages }: SealCall): readonly Uint8Array[] => {
  const [message] = messages
  if (!message) throw new Error('no message')
  const type = {
    authorityId: 'padlock',
    typeId: 'retransmit-request',
    versionMajor: 1,
    versionMinor: 0,
  }
  const asked = decodeRetransmitRequest(type, message.content)
  if (!asked) throw new Error('not a request')
  return asked
}

const askedOf = ({ parts }: { readonly parts: ReturnType<typeof sendingParts> }) =>
  parts.fanout.calls.map(askedIn)

const countsOf = (
  all: { readonly parts: ReturnType<typeof sendingParts> },
  failures: readonly UndecryptableEnvelope[],
): readonly number[] => {
  const asked = askedOf(all).flat().map(encodeHex)
  return failures.map(({ digest }) => asked.filter((one) => one === encodeHex(digest)).length)
}

test('a request goes a minute after the first failure, and names what failed since: section 10', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const [first, second] = [aFailure(peer), aFailure(peer)]
  await all.run()
  await all.note([first])
  await all.settled()
  await all.turn(30_000)
  await all.note([second])
  await all.settled()
  await all.turn(29_999)
  expect(askedOf(all)).toEqual([])
  await all.turn(1)
  expect(askedOf(all)).toEqual([[first.digest, second.digest]])
})

test('the second request comes an hour after the first, not a millisecond before', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.parts.fanout.calls).toHaveLength(1)
  await all.turn(hourMs - 1)
  expect(all.parts.fanout.calls).toHaveLength(1)
  await all.turn(1)
  expect(all.parts.fanout.calls).toHaveLength(2)
  // Of requests only those of the last hour are remembered.
  const times = (await all.world.store.get(tables.times, 'times'))?.value
  expect(times?.askedMs).toEqual([BigInt(all.world.clock.nowMs)])
})

test('each digest is asked for twice and never again, however late the others failed', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const failures = [aFailure(peer), aFailure(peer)]
  await all.run()
  for (const failure of failures) {
    await all.note([failure])
    await all.settled()
    await all.turn(hourMs / 2)
  }
  for (let hour = 0; hour < 30; hour += 1) await all.turn(hourMs)
  expect(countsOf(all, failures)).toEqual([2, 2])
  // They stay noted, as an answer may still come.
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing.map(({ asks }) => asks)).toEqual([2, 2])
})

test('one request names 500 digests at most, and those that are left over are asked for too', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const failures = Array.from({ length: 501 }, () => aFailure(peer))
  await all.run()
  await all.note(failures)
  await all.settled()
  await all.turn(minuteMs)
  for (let n = 0; n < 4; n += 1) await all.turn(hourMs)
  const sizes = askedOf(all).map(({ length }) => length)
  expect(sizes[0]).toBe(500)
  expect(Math.max(...sizes)).toBe(500)
  expect(new Set(countsOf(all, failures))).toEqual(new Set([2]))
})

test('a request goes on a new session, in the conversation of both accounts, to that installation alone', async () => {
  const all = await aRecovery()
  const { world, parts, peers, claims } = all
  const [peer] = peers
  if (!peer) return
  // There is a session already, and another device of the same account.
  const there = await parts.fanout.prepareNew(peer)
  if (!there) throw new Error('no session')
  await commit(world.store, parts.sessions.statesChange([there]))
  parts.directory.people.set(peer.address, [known(aDevice(peer.address)), peer])
  await all.run()
  world.committed.length = 0
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  const [call] = parts.fanout.calls
  expect(call?.messages).toMatchObject([
    {
      conversationId: buildConversationId(world.context.account.address, peer.address),
      recipients: [{ id: peer.id }],
    },
  ])
  const on = call?.on.get(peer.id)
  expect(on).toBeDefined()
  expect(on?.sessionId).not.toEqual(there.sessionId)
  expect(claims).toEqual([[peer.id], [peer.id]])
  // It is an entry of its own in the outbox, which stands for no message.
  expect(parts.queue.enqueued).toMatchObject([{ record: { messageId: '', sealed: true } }])
  expect(parts.queue.enqueued[0]?.record.rows).toHaveLength(1)
})

test('a request, its ratchet, its timer and its place in the outbox are saved together, on the disk, before it leaves', async () => {
  const all = await aRecovery()
  const { world, parts, peers } = all
  const [peer] = peers
  if (!peer) return
  let storedFirst: boolean | undefined
  vi.spyOn(parts.outbox, 'wake').mockImplementation(() => {
    storedFirst = world.committed.some(({ tables: names }) => names.includes('outbox'))
  })
  await all.run()
  await all.note([aFailure(peer)])
  world.committed.length = 0
  await all.settled()
  await all.turn(minuteMs)
  const asked = world.committed.filter(({ tables: names }) => names.includes('outbox'))
  expect(asked).toEqual([
    {
      durability: 'strict',
      tables: expect.arrayContaining(['recovery', 'account', 'sessions', 'outbox']),
    },
  ])
  expect(storedFirst).toBe(true)
  // What is kept in memory is what was saved: the next message goes on the state after this one.
  const [session] = parts.sessions.of(peer.id)
  const stored = (await world.store.all(tables.sessions)).map(({ value }) => value)
  expect(stored).toHaveLength(1)
  expect(stored[0]?.state).toEqual(session?.state)
  expect(session?.sentSince).toBe(1)
  // The claim that its session was made from is settled with it.
  for (const name of ['claim', 'claim of one']) {
    expect(await world.store.get(tables.claim, name)).toBeUndefined()
  }
  const outbox = await world.store.scan(tables.outbox, { after: 0, limit: 9 })
  expect(outbox.rows.map(({ value }) => value.rows.length)).toEqual([1])
  // The times of composition and of uploads stay as they were.
  const times = (await world.store.get(tables.times, 'times'))?.value
  expect(times).toMatchObject({ lastComposedNs: 5n, lastCreatedNs: 6n })
  expect(times?.askedMs).toEqual([BigInt(world.clock.nowMs)])
})

test('at most twenty requests an hour in all, whatever is restarted; the next one when the first is an hour old', async () => {
  const database = freshDatabase()
  const all = await aRecovery(22, { database })
  const { world, parts } = all
  await all.run()
  await all.note(all.peers.map((peer) => aFailure(peer)))
  await all.settled()
  await all.turn(minuteMs)
  expect(parts.fanout.calls).toHaveLength(20)
  expect(all.claims).toHaveLength(20)
  // Looked at again in a minute, not at once.
  expect(world.waits).toEqual([minuteMs])
  // Another one over the same store, as after a restart, counts on.
  const again = all.start()
  await again.load()
  all.recovery.setLive(false)
  world.turn(2 * minuteMs)
  await all.settled()
  void again.run()
  again.setLive(true)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(parts.fanout.calls).toHaveLength(20)
  for (let minute = 0; minute < 57; minute += 1) {
    world.turn(minuteMs)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await until(() => world.waits.length >= 2)
  expect(parts.fanout.calls).toHaveLength(20)
  world.turn(minuteMs)
  await until(() => parts.fanout.calls.length > 20)
  await until(() => world.waits.length >= 2)
  // Those twenty are due again too: the hour holds for them all.
  expect(parts.fanout.calls).toHaveLength(40)
  const times = (await world.store.get(tables.times, 'times'))?.value
  expect(times?.askedMs).toHaveLength(20)
})

test('section 10: who was asked longest ago is asked first, so that nobody uses up the requests of others', async () => {
  const all = await aRecovery(22)
  const [quiet] = all.peers.slice(-1)
  if (!quiet) return
  await all.run()
  // Twenty-one that fail again and again, and one that failed once, after them.
  await all.note(all.peers.slice(0, 21).map((peer) => aFailure(peer)))
  await all.settled()
  await all.turn(minuteMs)
  await all.note([...all.peers.slice(0, 21).map((peer) => aFailure(peer)), aFailure(quiet)])
  await all.settled()
  const asked = () =>
    all.parts.fanout.calls.flatMap(({ messages }) => messages[0]?.recipients[0]?.id ?? [])
  expect(asked()).toHaveLength(20)
  await all.turn(hourMs)
  await until(() => asked().length > 20)
  expect(asked().slice(20, 22).sort()).toEqual([all.peers[20]?.id, quiet.id].sort())
})

test('what failed fourteen days ago is asked for no more, and forgotten', async () => {
  const all = await aRecovery(2)
  const [old, young] = all.peers
  if (!old || !young) return
  await all.note([aFailure(old)])
  all.world.turn(1)
  await all.note([aFailure(young)])
  all.world.turn(14 * dayMs - 1)
  await all.run()
  expect(all.parts.fanout.calls.map(({ messages }) => messages[0]?.recipients[0]?.id)).toEqual([
    young.id,
  ])
  const stored = await all.world.store.all(tables.recovery)
  expect(stored.map(({ value }) => value.installationId)).toEqual([young.id])
})

test('fourteen days have passed only when both clocks say so: section 1, Clocks', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  await all.note([aFailure(peer)])
  all.world.clock.nowMs += 20 * dayMs
  await all.run()
  expect(all.parts.fanout.calls).toHaveLength(1)
  expect(await all.world.store.all(tables.recovery)).toHaveLength(1)
})

test('what came is asked for no more; the record goes with its last digest', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const [one, two] = [aDigest(), aDigest()]
  await all.run()
  await all.note([aFailure(peer, one), aFailure(peer, two)])
  await all.note([], [{ id: peer.id, digest: one }])
  await all.settled()
  await all.turn(minuteMs)
  expect(askedOf(all)).toEqual([[two]])
  await all.note([], [{ id: peer.id, digest: two }])
  expect(await all.world.store.all(tables.recovery)).toEqual([])
  await all.turn(2 * hourMs)
  expect(askedOf(all)).toEqual([[two]])
  // Nothing of an installation that nothing was asked of.
  expect(all.recovery.failuresChange([], [{ id: peer.id, digest: one }]).writes).toEqual([])
})

test('a digest is noted once, of one batch or of two', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const digest = aDigest()
  await all.note([aFailure(peer, digest), aFailure(peer, digest)])
  await all.note([aFailure(peer, digest)])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toHaveLength(1)
})

test('of one installation 2,000 digests are noted', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const missing = Array.from({ length: 1_999 }, () => ({ digest: aDigest(), failedMs: 1n }))
  await all.world.store.transaction([], () => ({
    writes: [
      put(tables.recovery, peer.id, { installationId: peer.id, address: peer.address, missing }),
    ],
    result: undefined,
  }))
  await all.recovery.load()
  await all.note([aFailure(peer), aFailure(peer)])
  await all.note([aFailure(peer)])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toHaveLength(2_000)
})

test('digests of 1,000 installations are noted, and more of those that are there', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const others = Array.from({ length: 1_001 }, (_, nth) => ({
    ...peer,
    id: `${peer.id}${nth}` as typeof peer.id,
  }))
  await all.note(others.slice(0, 500).map((one) => aFailure(one)))
  await all.note(others.slice(500).map((one) => aFailure(one)))
  expect(await all.world.store.all(tables.recovery)).toHaveLength(1_000)
  const [first] = others
  if (!first) return
  await all.note([aFailure(first)])
  const again = (await all.world.store.all(tables.recovery)).find(
    ({ value }) => value.installationId === first.id,
  )
  expect(again?.value.missing).toHaveLength(2)
})

test('an answer is taken only for what was asked of that installation, with its node time, also after a restart', async () => {
  const all = await aRecovery(2)
  const [peer, other] = all.peers
  if (!peer || !other) return
  const digest = aDigest()
  await all.run()
  await all.note([aFailure(peer, digest, 77n), aFailure(other)])
  expect(all.recovery.askedFor(peer.id, digest)).toBeUndefined()
  await all.settled()
  await all.turn(minuteMs)
  expect(all.recovery.askedFor(peer.id, digest)).toBe(77n)
  expect(all.recovery.askedFor(other.id, digest)).toBeUndefined()
  expect(all.recovery.askedFor(peer.id, aDigest())).toBeUndefined()
  expect(all.recovery.askedFor(known(aDevice()).id, digest)).toBeUndefined()
  const again = all.start()
  await again.load()
  expect(again.askedFor(peer.id, digest)).toBe(77n)
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.address).toMatch(/^0x/)
})

test('a timer goes on where it was after a restart: neither earlier nor from the beginning', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  all.recovery.setLive(false)
  await all.turn(2 * hourMs - 1)
  expect(all.parts.fanout.calls).toHaveLength(1)
  const again = all.start()
  await again.load()
  await all.run(again)
  await until(() => all.parts.fanout.calls.length === 2)
  expect(all.parts.fanout.calls[1]?.messages[0]?.recipients).toMatchObject([
    { id: peer.id, address: peer.address },
  ])
})

test('nothing is asked while offline, nor of an installation that is revoked or not seen any more', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  void all.recovery.run()
  await all.settled()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(2 * minuteMs)
  expect(all.claims).toEqual([])
  all.parts.directory.people.set(peer.address, [{ ...peer, revokedNs: 1n }])
  all.recovery.setLive(true)
  await all.settled()
  // It counts as asked, so that it ends; but not among the twenty an hour.
  await until(
    async () => (await all.world.store.all(tables.recovery))[0]?.value.missing[0]?.asks === 1,
  )
  expect((await all.world.store.get(tables.times, 'times'))?.value.askedMs).toEqual([])
  await all.turn(3 * hourMs)
  expect(all.claims).toEqual([])
  expect(all.parts.fanout.calls).toEqual([])
  expect(all.parts.queue.enqueued).toEqual([])
})

test('what fails on the way is told, and tried again a minute later', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  all.refuse.error = new PadlockError('network_unavailable')
  await all.turn(minuteMs)
  expect(all.world.waits).toEqual([minuteMs])
  expect(all.world.context.status.current.warnings).toMatchObject([{ code: 'network_unavailable' }])
  all.refuse.error = undefined
  await all.turn(minuteMs)
  expect(all.parts.fanout.calls).toHaveLength(1)
})

test('what comes while the request is prepared is not asked for', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  const [old, late] = [aFailure(peer), aFailure(peer)]
  await all.run()
  await all.note([old])
  await all.settled()
  await all.turn(minuteMs)
  await all.turn(hourMs)
  expect(countsOf(all, [old])).toEqual([2])
  // One that was asked for twice is there still, and one that comes at the last moment.
  all.meanwhile.run = () => all.note([], [{ id: peer.id, digest: late.digest }])
  await all.note([late])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.claims).toHaveLength(3)
  expect(countsOf(all, [old, late])).toEqual([2, 0])
  // The same with nothing left at all.
  all.meanwhile.run = () =>
    all.note(
      [],
      [old, late].map(({ digest }) => ({ id: peer.id, digest })),
    )
  await all.note([late])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.claims).toHaveLength(4)
  expect(countsOf(all, [old, late])).toEqual([2, 0])
  expect(all.world.context.status.current.warnings).toEqual([])
})

test('section 10: an installation that gives no prekey is asked when it gives one, tried once an hour', async () => {
  const all = await aRecovery()
  const [peer] = all.peers
  if (!peer) return
  all.meanwhile.isEmpty = true
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.world.context.status.current.warnings).toEqual([])
  expect(all.parts.queue.enqueued).toEqual([])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toMatchObject([{ asks: 0 }])
  for (let hour = 0; hour < 4; hour += 1) await all.turn(hourMs)
  expect(all.claims).toHaveLength(5)
  all.meanwhile.isEmpty = false
  await all.turn(hourMs)
  expect(all.claims).toHaveLength(6)
  expect(all.parts.queue.enqueued).toHaveLength(1)
})
