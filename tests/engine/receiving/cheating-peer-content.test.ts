/**
 * A peer that cheats with what a message says, and with how much of it there is (docs/protocol.md sections 4
 * and 8): bombs, and garbage at volume. What cannot be shown is bounded, and honest messages go on.
 */

import { deflateSync, gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import {
  type Compression,
  ContentTypeIdSchema,
  EncodedContentSchema,
} from '../../../src/gen/padlock/v1/content_pb.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { aStage, expectHonest, idOf, shownTexts } from '../../support/cheating-stage.ts'
import { countOf, until, untilTexts } from '../../support/engine.ts'

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
