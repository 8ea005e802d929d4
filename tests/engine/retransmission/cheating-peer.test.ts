/**
 * A peer that cheats with retransmission (docs/protocol.md section 10): it asks for what is not its own,
 * again and again, sends again what nobody asked for, never decrypts and never can be decrypted.
 * Everything stays within its number, and honest messages go on.
 */

import { expect, test } from 'vitest'
import { readInternalType } from '../../../src/content/registry.ts'
import {
  decodeRetransmitRequest,
  encodeRetransmitRequest,
} from '../../../src/content/retransmit.ts'
import { digestEnvelope } from '../../../src/protocol/ids.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { parsePayload } from '../../../src/protocol/payload.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import { CheatingPeer, type PeerSession } from '../../support/cheating-peer/cheating-peer.ts'
import {
  aStage,
  expectHonest,
  idOf,
  type Stage,
  say,
  shownTexts,
} from '../../support/cheating-stage.ts'
import { passed } from '../../support/checked.ts'
import { countOf, inboxOf, never, until, untilTexts } from '../../support/engine.ts'

const aScene = async () => {
  const clock = aTurnedClock()
  const stage = await aStage({ clock, haveTalked: true })
  const mallory = await CheatingPeer.register(stage.world)
  const session = await mallory.sessionWith(stage.bob)
  const { id } = await stage.atBob.engine.conversation(mallory.account.address)
  await stage.atBob.engine.setConsent(mallory.account.address, 'allowed')
  return { clock, stage, mallory, session, id }
}

const asks = (
  { stage, mallory, session }: { stage: Stage; mallory: CheatingPeer; session: PeerSession },
  ...requests: readonly (readonly Uint8Array[])[]
) =>
  mallory.send(
    session,
    ...requests.map((digests) =>
      mallory.payload(stage.bob, { contentBytes: encodeRetransmitRequest(digests) }),
    ),
  )

/** All that was asked or written before has had its effect when this arrives. */
const settle = async (
  { stage, mallory, session }: { stage: Stage; mallory: CheatingPeer; session: PeerSession },
  id: string,
  text: string,
) => {
  await mallory.send(session, mallory.text(stage.bob, text))
  await until(async () => (await shownTexts(stage.atBob, id)).includes(text))
  // What is answered leaves before what is said afterwards.
  await say(stage.atBob, stage.id, `after ${text}`)
}

const retransmitted = ({ atBob }: Stage): number =>
  atBob.events.reduce((sum, event) => sum + (event.kind === 'retransmitted' ? event.count : 0), 0)

const digestsIn = async ({ world }: Stage, installationId: string) =>
  (await inboxOf(world, installationId)).map(({ message }) => digestEnvelope(message))

test('section 10: messages to others are sent to nobody else, whoever asks', async () => {
  const scene = await aScene()
  const { stage, mallory, id } = scene
  const { atBob, atAlice } = stage
  await say(atBob, stage.id, 'for Alice alone')
  const others = await digestsIn(stage, idOf(atAlice))
  await asks(scene, others, [new Uint8Array(32).fill(5)])
  await settle(scene, id, 'and?')
  expect(retransmitted(stage)).toBe(0)
  expect(await inboxOf(stage.world, mallory.id)).toEqual([])
  await expectHonest(stage)
})

test('section 10: a message that is asked for again and again is sent again twice', async () => {
  const scene = await aScene()
  const { stage, mallory, id } = scene
  await mallory.send(scene.session, mallory.text(stage.bob, 'hello'))
  await untilTexts(stage.atBob, id, 1)
  await say(stage.atBob, id, 'hello too')
  const [digest] = await digestsIn(stage, mallory.id)
  if (!digest) throw new Error('nothing was sent')
  for (let n = 0; n < 5; n += 1) await asks(scene, [digest], [digest, digest])
  await settle(scene, id, 'once more?')
  await until(() => retransmitted(stage) === 2)
  await settle(scene, id, 'and now?')
  expect(await inboxOf(stage.world, mallory.id)).toHaveLength(3)
  // Answers are not sent again at all.
  await asks(scene, await digestsIn(stage, mallory.id))
  await settle(scene, id, 'those too?')
  expect(await inboxOf(stage.world, mallory.id)).toHaveLength(3)
  expect(retransmitted(stage)).toBe(2)
  await expectHonest(stage)
})

test('section 10: a revoked installation is not answered anymore', async () => {
  const { stage } = await aScene()
  const { atAlice, atBob, world } = stage
  const stolen = await CheatingPeer.register(world, stage.alice)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-added'))
  const session = await stolen.sessionWith(stage.bob)
  await say(atBob, stage.id, 'to both')
  const digests = await digestsIn(stage, stolen.id)
  expect(digests).toHaveLength(1)
  await atAlice.engine.revoke([stolen.id], never)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-revoked'))
  await asks({ stage, mallory: stolen, session }, digests)
  await until(() => countOf(atBob, 'sender_revoked') === 1)
  await say(atBob, stage.id, 'to one')
  expect(await inboxOf(world, stolen.id)).toHaveLength(1)
  expect(retransmitted(stage)).toBe(0)
  await expectHonest(stage)
})

/** An envelope that nobody can decrypt, from somebody who is known: of another header than its own. */
const undecryptable = async (peer: CheatingPeer, session: PeerSession, stage: Stage) => {
  const [olm] = peer.encrypt(session, [peer.text(stage.bob, 'never read')])
  if (!olm) throw new Error('nothing')
  const metadata = { sessionId: session.id, isPrekeyMessage: true }
  const envelope = peer.sealRaw(session.to, metadata, olm)
  await peer.publish([envelope])
  return digestEnvelope(envelope.message)
}

test('section 10: a retransmission is taken once, from the installation that was asked, and from nobody else', async () => {
  const { clock, stage, mallory, session, id } = await aScene()
  const { atBob, world } = stage
  const eve = await CheatingPeer.register(world)
  await atBob.engine.setConsent(eve.account.address, 'allowed')
  const hers = await eve.sessionWith(stage.bob)
  const digest = await undecryptable(eve, hers, stage)
  await until(() => countOf(atBob, 'header_mismatch') === 1)
  const again = eve.text(stage.bob, 'what it was', { retransmits: digest })
  // Nobody was asked yet.
  const early = await eve.sessionWith(stage.bob)
  await eve.send(early, again)
  await until(() => countOf(atBob, 'bad_payload') === 1)
  clock.turn(2 * minuteMs)
  await until(async () => (await inboxOf(world, eve.id)).length === 1)
  await mallory.send(session, mallory.text(stage.bob, 'let me', { retransmits: digest }))
  await until(() => countOf(atBob, 'bad_payload') === 2)
  await eve.send(early, again)
  const withEve = eve.conversationWith(stage.bob)
  expect(await untilTexts(atBob, withEve, 1)).toEqual(['what it was'])
  await eve.send(early, again, eve.text(stage.bob, 'and what it was not', { retransmits: digest }))
  await until(() => countOf(atBob, 'bad_payload') === 3)
  expect(countOf(atBob, 'duplicate_message')).toBe(1)
  expect(await shownTexts(atBob, withEve)).toEqual(['what it was'])
  expect(await shownTexts(atBob, id)).toEqual([])
  await expectHonest(stage)
})

test('section 10: a peer that never can be decrypted is asked twice for each envelope, and twenty times an hour at most', async () => {
  const { clock, stage, mallory, session } = await aScene()
  const { atBob } = stage
  const to = await mallory.find(stage.bob)
  const asking = { stage, mallory, session: await mallory.sessionWith(stage.bob) }
  const startMs = clock.nowMs()
  let failed = 0
  for (let minute = 0; minute < 150; minute += 1) {
    if (minute % 3 === 0) {
      await undecryptable(mallory, session, stage)
      failed += 1
      await until(() => countOf(atBob, 'header_mismatch') === failed)
    }
    // And she cannot decrypt what asks her: that is asked for in turn, and sent by nobody again.
    if (minute % 10 === 5) await asks(asking, await digestsIn(stage, mallory.id))
    clock.turn(minuteMs)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await expectHonest(stage)
  const hours = Math.ceil((clock.nowMs() - startMs) / hourMs) + 1
  const requests = await mallory.inbox()
  expect(requests.length).toBeGreaterThan(5)
  expect(requests.length).toBeLessThanOrEqual(20 * hours)
  const asked = new Map<string, number>()
  for (const received of requests) {
    const { contentBytes } = passed(parsePayload(mallory.accept(to, received).payload))
    const type = readInternalType(contentBytes)
    const digests = type && decodeRetransmitRequest(type, contentBytes)
    for (const digest of digests ?? []) {
      const name = Buffer.from(digest).toString('base64')
      asked.set(name, (asked.get(name) ?? 0) + 1)
    }
  }
  expect(asked.size).toBeLessThanOrEqual(failed)
  expect(Math.max(...asked.values())).toBe(2)
  expect(retransmitted(stage)).toBe(0)
})
