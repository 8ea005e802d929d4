/**
 * A peer that cheats with what a message says, and with how much of it there is (docs/protocol.md sections 4,
 * 8 and 11): bombs, versions and types that nobody knows, times that cannot be, and garbage at volume.
 * What cannot be shown is bounded, and honest messages go on.
 */

import { deflateSync, gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import {
  type Compression,
  ContentTypeIdSchema,
  EncodedContentSchema,
} from '../../../src/gen/padlock/v1/content_pb.ts'
import { PadlockMessagePayloadSchema } from '../../../src/gen/padlock/v1/message_pb.ts'
import type { ConversationId } from '../../../src/protocol/ids.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import {
  aStage,
  countOf,
  expectHonest,
  idOf,
  inboxOf,
  type Stage,
  say,
  shownTexts,
} from '../../support/cheating-stage.ts'
import { until, untilTexts } from '../../support/engine.ts'

const mib = 1024 * 1024
const text = { authorityId: 'xmtp.org', typeId: 'text', versionMajor: 1, versionMinor: 0 }

const content = (
  type: typeof text,
  bytes: Uint8Array,
  more: { readonly compression?: Compression; readonly fallback?: string } = {},
): Uint8Array =>
  toBinary(
    EncodedContentSchema,
    create(EncodedContentSchema, {
      type: create(ContentTypeIdSchema, type),
      content: new Uint8Array(bytes),
      ...more,
    }),
  )

const aScene = async () => {
  const stage = await aStage({ haveTalked: true })
  const mallory = await CheatingPeer.register(stage.world)
  const session = await mallory.sessionWith(stage.bob)
  const { id } = await stage.atBob.engine.conversation(mallory.account.address)
  return { stage, mallory, session, id }
}

interface Oddity {
  readonly name: string
  readonly bytes: () => Uint8Array
  /** What is shown of it. */
  readonly shown: object
}

const oddities: readonly Oddity[] = [
  {
    name: 'section 4: a zlib bomb is never inflated; its fallback is shown',
    bytes: () =>
      content(text, deflateSync(new Uint8Array(16 * mib)), { compression: 0, fallback: 'boom' }),
    shown: { type: 'unknown', fallback: 'boom', reason: 'content_too_large' },
  },
  {
    name: 'section 4: a gzip bomb is never inflated; its fallback is shown',
    bytes: () =>
      content(text, gzipSync(new Uint8Array(16 * mib)), { compression: 1, fallback: 'boom' }),
    shown: { type: 'unknown', fallback: 'boom', reason: 'content_too_large' },
  },
  {
    name: 'section 4: what says that it is compressed and is not is shown by its fallback',
    bytes: () => content(text, new Uint8Array(100).fill(9), { compression: 0, fallback: 'odd' }),
    shown: { type: 'unknown', fallback: 'odd', reason: 'malformed' },
  },
  {
    name: 'section 4: a compression that nobody knows is shown by its fallback',
    bytes: () =>
      content(text, new Uint8Array(100), { compression: 7 as Compression, fallback: 'odd' }),
    shown: { type: 'unknown', fallback: 'odd' },
  },
  {
    name: 'section 4: a content type that nobody knows is shown by its fallback',
    bytes: () =>
      content({ ...text, typeId: 'hologram', versionMajor: 9 }, new Uint8Array(3), {
        fallback: 'a hologram',
      }),
    shown: { type: 'unknown', fallback: 'a hologram' },
  },
  {
    name: 'section 4: a text that is not UTF-8 is shown as nothing, and stops nothing',
    bytes: () => content(text, Uint8Array.of(0xff, 0xfe, 0xff)),
    shown: { type: 'unknown', reason: 'malformed' },
  },
  {
    name: 'section 4: content bytes that are no content are kept, and shown as nothing',
    bytes: () => new Uint8Array(500).fill(0xff),
    shown: { type: 'unknown', reason: 'malformed' },
  },
]

for (const { name, bytes, shown } of oddities) {
  test(name, async () => {
    const { stage, mallory, session, id } = await aScene()
    await mallory.send(session, mallory.payload(stage.bob, { contentBytes: bytes() }))
    await mallory.send(session, mallory.text(stage.bob, 'and a text'))
    await untilTexts(stage.atBob, id, 2)
    const [second, odd] = await stage.atBob.engine.history(id, undefined, 10)
    expect(odd).toMatchObject({ ...shown, state: 'received' })
    expect(second).toMatchObject({ type: 'text', content: 'and a text' })
    await expectHonest(stage)
  })
}

test('section 8: times of the future and of no time are shown as the node’s, and order nothing', async () => {
  const { stage, mallory, session, id } = await aScene()
  const composed = [2n ** 64n - 1n, 0n, 1n]
  for (const [at, composedNs] of composed.entries()) {
    await mallory.send(session, mallory.text(stage.bob, `at ${at}`, { composedNs }))
    // Requests of their own have node times of their own.
    await untilTexts(stage.atBob, id, at + 1)
  }
  expect(await shownTexts(stage.atBob, id)).toEqual(['at 0', 'at 1', 'at 2'])
  const shown = await stage.atBob.engine.history(id, undefined, 10)
  const nowMs = Date.now()
  for (const { sentAtMs } of shown) expect(sentAtMs).toBeLessThan(nowMs + 6 * 60_000)
  await expectHonest(stage)
})

test('section 8, step 5: versions of later are set aside, a hundred of one installation and no more', async () => {
  const { stage, mallory, session, id } = await aScene()
  const later = create(PadlockMessagePayloadSchema, { convoId: id })
  // Version 2: nobody knows yet what it will be.
  const version2 = Uint8Array.of(...toBinary(PadlockMessagePayloadSchema, later), 0x08, 0x02)
  const group = mallory.text(stage.bob, 'x', { convoId: 'group:of-later' as ConversationId })
  for (let batch = 0; batch < 3; batch += 1) {
    await mallory.send(session, ...Array.from({ length: 20 }, () => version2))
    await mallory.send(session, ...Array.from({ length: 20 }, () => group))
  }
  await until(() => countOf(stage.atBob, 'unsupported_version') === 120)
  await expectHonest(stage)
  expect(await shownTexts(stage.atBob, id)).toEqual([])
  await stage.atBob.engine.close()
  const kept = await (await stage.world.openStore(stage.bobDatabase)).all(tables.setAside)
  expect(kept).toHaveLength(100)
  // wasm appended the header's hash when it sealed.
  expect(kept[0]?.value.payload.subarray(0, version2.length)).toEqual(version2)
  expect(kept.every(({ value }) => value.installationId === mallory.id)).toBe(true)
})

test('section 4: what installations might say to each other later is dropped, and never answered', async () => {
  const { stage, mallory, session, id } = await aScene()
  const internal = content(
    { ...text, authorityId: 'padlock', typeId: 'self-destruct' },
    new Uint8Array(3),
  )
  await mallory.send(session, mallory.payload(stage.bob, { contentBytes: internal }))
  await mallory.send(session, mallory.text(stage.bob, 'and a text'))
  await untilTexts(stage.atBob, id, 1)
  expect(await shownTexts(stage.atBob, id)).toEqual(['and a text'])
  expect(await inboxOf(stage.world, mallory.id)).toEqual([])
  await expectHonest(stage)
})

test('section 11: content over 900 KiB is rejected; at 900 KiB it is shown', async () => {
  const { stage, mallory, session, id } = await aScene()
  const limit = 900 * 1024
  const empty = content(text, new Uint8Array(limit)).length - limit
  const [fits, over] = [limit - empty, limit - empty + 1].map((length) =>
    content(text, new Uint8Array(length).fill(0x61)),
  )
  if (!fits || !over) throw new Error('no content')
  await mallory.send(session, mallory.payload(stage.bob, { contentBytes: over }))
  await mallory.send(session, mallory.payload(stage.bob, { contentBytes: fits }))
  const [shown] = await untilTexts(stage.atBob, id, 1)
  expect(shown).toHaveLength(limit - empty)
  expect(countOf(stage.atBob, 'message_too_large')).toBe(1)
  await expectHonest(stage)
})

test('section 8: garbage at volume is counted in a few words, and what lies among it arrives', async () => {
  const { stage, mallory, session, id } = await aScene()
  const topic = messageTopic(idOf(stage.atBob))
  const noise = (length: number) => ({
    topic,
    message: globalThis.crypto.getRandomValues(new Uint8Array(length)),
  })
  const sealed = (n: number) =>
    mallory.sealRaw(
      session.to,
      { sessionId: new Uint8Array(32).fill(n), isPrekeyMessage: n % 2 === 0 },
      new Uint8Array(60).fill(n),
    )
  for (let batch = 0; batch < 4; batch += 1) {
    await mallory.publish([
      ...Array.from({ length: 100 }, () => noise(700)),
      ...Array.from({ length: 20 }, (_, n) => sealed(n)),
      ...mallory.seal(session, [mallory.text(stage.bob, `text ${batch}`)]),
    ])
  }
  await untilTexts(stage.atBob, id, 4)
  await until(() => countOf(stage.atBob, 'malformed') === 400)
  expect(countOf(stage.atBob, 'session_unknown')).toBe(40)
  expect(countOf(stage.atBob, 'decryption_failed')).toBe(40)
  await expectHonest(stage)
  expect(await shownTexts(stage.atBob, id)).toEqual(['text 0', 'text 1', 'text 2', 'text 3'])
  const told = stage.atBob.events.filter(({ kind }) => kind === 'envelopes')
  expect(told.length).toBeLessThan(100)
})

test('section 8, step 3: names that nobody bears fill 4 MiB of parking each and no more', async () => {
  const { stage, mallory } = await aScene()
  const [one, other] = [await strangers(stage), await strangers(stage)]
  // Nobody can be looked up, so that all of it waits.
  const stop = stage.node.play({
    query: () => new Promise((_, reject) => setTimeout(() => reject(new Error('busy')), 50)),
  })
  for (const stranger of [one, other]) {
    const session = await stranger.sessionWith(stage.bob)
    for (let n = 0; n < 6; n += 1) {
      const contentBytes = new Uint8Array(880 * 1024).fill(n)
      await stranger.send(session, stranger.payload(stage.bob, { contentBytes }))
    }
  }
  await until(() => countOf(stage.atBob, 'parking_full') >= 4)
  // Who is known is not held up by it.
  await say(stage.atAlice, stage.id, 'meanwhile')
  expect((await untilTexts(stage.atBob, stage.id, 3)).at(-1)).toBe('meanwhile')
  stop()
  const { nodeNs } = await stage.world.network.getInfo()
  await until(() => {
    stage.node.say({ case: 'heartbeat', value: { nodeNs } })
    return countOf(stage.atBob, 'unknown_sender') === 8
  })
  await expectHonest(stage)
  expect(countOf(stage.atBob, 'parking_full')).toBe(4)
  expect(await inboxOf(stage.world, mallory.id)).toEqual([])
  await stage.atBob.engine.close()
  const store = await stage.world.openStore(stage.bobDatabase)
  expect(await store.all(tables.parked)).toEqual([])
})

/** Someone whose account nobody registered. */
const strangers = ({ world }: Stage): Promise<CheatingPeer> => CheatingPeer.make(world)
