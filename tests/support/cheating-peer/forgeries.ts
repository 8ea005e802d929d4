/**
 * The forgeries of a cheating peer, by the section and step that must notice them: other people's names,
 * parts of several envelopes in one, sessions and prekeys used twice, conversations of others.
 */

import type { PadlockErrorCode } from '../../../src/errors.ts'
import type { OutgoingEnvelope } from '../../../src/network/network.ts'
import type { ContactBundle } from '../../../src/protocol/contact.ts'
import { parseInboxMessage } from '../../../src/protocol/envelope.ts'
import { buildConversationId, type ConversationId } from '../../../src/protocol/ids.ts'
import { bent } from '../cheating-node/tricks.ts'
import { idOf, type Stage } from '../cheating-stage.ts'
import { addressOf, passed } from '../checked.ts'
import { untilTexts } from '../engine.ts'
import { CheatingPeer, envelopeOf, type PeerSession } from './cheating-peer.ts'

export interface Scene {
  readonly stage: Stage
  readonly mallory: CheatingPeer
  /** Bob's bundle. */
  readonly to: ContactBundle
  /** A session with Bob that was not used yet. */
  readonly session: PeerSession
}

/** A trick: what is published, and what must come of it. */
export interface Forgery {
  readonly name: string
  readonly forge: (
    scene: Scene,
  ) => readonly OutgoingEnvelope[] | Promise<readonly OutgoingEnvelope[]>
  readonly code: PadlockErrorCode
  readonly count?: number
  /** Texts of the forger that are genuine and arrive. */
  readonly arrives?: readonly string[]
  /** Whether somebody else writes an honest message for it. */
  readonly isHelped?: boolean
  /** Sessions with the forger that are there afterwards. */
  readonly sessions?: number
}

const text = ({ mallory, stage }: Scene, words: string, convoId?: ConversationId): Uint8Array =>
  mallory.text(stage.bob, words, convoId ? { convoId } : {})

const parts = ({ message }: OutgoingEnvelope) => passed(parseInboxMessage(message))

/** The one that there must be. */
const first = <T>([item]: readonly T[]): T => {
  if (item === undefined) throw new Error('nothing')
  return item
}

/** The Olm message of a text, and the envelope of one. */
const encryptOne = (scene: Scene, words: string): Uint8Array =>
  first(scene.mallory.encrypt(scene.session, [text(scene, words)]))
const sealOne = (scene: Scene, words: string): OutgoingEnvelope =>
  first(scene.mallory.seal(scene.session, [text(scene, words)]))

const recombined = (header: OutgoingEnvelope, body: OutgoingEnvelope): OutgoingEnvelope => ({
  topic: header.topic,
  message: envelopeOf(parts(header).headerBytes, parts(body).ciphertext),
})

export const forgeries: readonly Forgery[] = [
  {
    name: 'section 8, step 1: metadata with an address in capitals is malformed',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const senderAddress = mallory.account.address
      const metadata = { senderAddress, sessionId: session.id, isPrekeyMessage: true }
      return [mallory.sealRaw(to, metadata, encryptOne(scene, 'x'))]
    },
    code: 'malformed',
  },
  {
    name: 'section 8, step 1: metadata with half a session id is malformed',
    forge: (scene) => {
      const metadata = { sessionId: scene.session.id.slice(16), isPrekeyMessage: true }
      return [scene.mallory.sealRaw(scene.to, metadata, encryptOne(scene, 'x'))]
    },
    code: 'malformed',
  },
  {
    name: 'section 4: an envelope of a later version is malformed',
    forge: (scene) => [{ ...sealOne(scene, 'x'), message: Uint8Array.of(0x12, 0x02, 0x0a, 0x00) }],
    code: 'malformed',
  },
  {
    name: 'section 8, step 1: a header of 367 bytes is malformed',
    forge: (scene) => {
      const real = sealOne(scene, 'x')
      const { headerBytes, ciphertext } = parts(real)
      return [{ ...real, message: envelopeOf(headerBytes.slice(0, -1), ciphertext) }]
    },
    code: 'malformed',
  },
  {
    name: 'section 8, step 1: a header that was changed opens for nobody',
    forge: (scene) => {
      const real = sealOne(scene, 'x')
      const { headerBytes, ciphertext } = parts(real)
      const changed = headerBytes.with(headerBytes.length - 1, (headerBytes.at(-1) ?? 0) ^ 1)
      return [{ ...real, message: envelopeOf(changed, ciphertext) }]
    },
    code: 'unsealing_failed',
  },
  {
    name: 'section 8, step 2: what names another recipient account is not for us',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x')], {
        recipientAddress: addressOf(scene.stage.alice),
      }),
    code: 'not_for_us',
  },
  {
    name: 'section 8, step 2: what names another recipient installation is not for us',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x')], {
        recipientInstallationId: idOf(scene.stage.atAlice),
      }),
    code: 'not_for_us',
  },
  {
    name: 'section 8, step 3: who claims to be somebody’s installation has not its signature',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x', scene.stage.id as ConversationId)], {
        senderAddress: addressOf(scene.stage.alice),
        senderInstallationId: idOf(scene.stage.atAlice),
      }),
    code: 'bad_header_signature',
  },
  {
    name: 'section 8, step 3: a signature over other metadata than is sealed is none',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const headerSignature = new Uint8Array(64).fill(1)
      const metadata = { headerSignature, sessionId: session.id, isPrekeyMessage: true }
      return [mallory.sealRaw(to, metadata, encryptOne(scene, 'x'))]
    },
    code: 'bad_header_signature',
  },
  {
    name: 'section 8, step 3: who claims another account for its own installation is unknown there',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x', scene.stage.id as ConversationId)], {
        senderAddress: addressOf(scene.stage.alice),
      }),
    code: 'unknown_sender',
  },
  {
    name: 'section 8, step 3: who claims to be a device of one’s own is unknown',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x', scene.stage.id as ConversationId)], {
        senderAddress: addressOf(scene.stage.bob),
      }),
    code: 'unknown_sender',
  },
  {
    name: 'section 8, step 3: somebody’s installation under the forger’s account is unknown, and delays nobody',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x')], {
        senderInstallationId: idOf(scene.stage.atAlice),
      }),
    code: 'unknown_sender',
  },
  {
    name: 'section 8, step 4: header of one and ciphertext of another decrypt to nothing; both originals arrive',
    forge: (scene) => {
      const [a, b] = [sealOne(scene, 'one'), sealOne(scene, 'two')]
      return [recombined(a, b), recombined(b, a), a, b]
    },
    code: 'decryption_failed',
    count: 2,
    arrives: ['one', 'two'],
    sessions: 1,
  },
  {
    name: 'section 8, step 4: a ciphertext under a header of its own maker is of another header; the original arrives',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const before = session.state
      const metadata = { sessionId: session.id, isPrekeyMessage: true }
      const forged = mallory.sealRaw(to, metadata, encryptOne(scene, 'once'))
      session.state = before
      return [forged, sealOne(scene, 'once')]
    },
    code: 'header_mismatch',
    arrives: ['once'],
    sessions: 1,
  },
  {
    name: 'section 8, step 4: a ciphertext that is sealed again after it was read has no message key',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const before = session.state
      const real = sealOne(scene, 'once')
      session.state = before
      const metadata = { sessionId: session.id, isPrekeyMessage: true }
      return [real, mallory.sealRaw(to, metadata, encryptOne(scene, 'once'))]
    },
    code: 'message_key_gone',
    arrives: ['once'],
    sessions: 1,
  },
  {
    name: 'section 7: a session of somebody else’s is not the forger’s to write on',
    forge: async (scene) => {
      const sessionId = await anotherSession(scene)
      const metadata = { sessionId, isPrekeyMessage: false }
      return [scene.mallory.sealRaw(scene.to, metadata, encryptOne(scene, 'x'))]
    },
    code: 'session_unknown',
    isHelped: true,
  },
  {
    name: 'section 8, step 4: a prekey message under the id of another session makes none',
    forge: async (scene) => {
      const sessionId = await anotherSession(scene)
      const metadata = { sessionId, isPrekeyMessage: true }
      return [scene.mallory.sealRaw(scene.to, metadata, encryptOne(scene, 'x'))]
    },
    code: 'session_mismatch',
    isHelped: true,
  },
  {
    name: 'section 6: a one-time prekey makes one session, however often it is used',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const again = mallory.session(to, session.prekey)
      return [
        ...mallory.seal(session, [text(scene, 'the first')]),
        ...mallory.seal(again, [text(scene, 'the second')]),
      ]
    },
    code: 'prekey_gone',
    arrives: ['the first'],
    sessions: 1,
  },
  {
    name: 'section 8, step 4: a prekey message that was never genuine is rejected and uses up no prekey',
    forge: (scene) => {
      const { mallory, session, to } = scene
      const before = session.state
      const olm = encryptOne(scene, 'x')
      session.state = before
      // The last byte belongs to the MAC.
      const broken = olm.with(olm.length - 1, (olm.at(-1) ?? 0) ^ 1)
      const metadata = { sessionId: session.id, isPrekeyMessage: true }
      return [mallory.sealRaw(to, metadata, broken), sealOne(scene, 'genuine')]
    },
    code: 'bad_mac',
    arrives: ['genuine'],
    sessions: 1,
  },
  {
    name: 'section 8, step 5: nobody writes into a conversation of others',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [text(scene, 'x', scene.stage.id as ConversationId)]),
    code: 'wrong_participants',
    sessions: 1,
  },
  {
    name: 'section 8, step 5: nobody writes into a conversation that the recipient is not in',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [
        text(scene, 'x', scene.mallory.conversationWith(scene.stage.alice)),
      ]),
    code: 'wrong_participants',
    sessions: 1,
  },
  {
    name: 'section 8, step 5: nobody writes into the notes of another account',
    forge: (scene) => {
      const bob = addressOf(scene.stage.bob)
      return scene.mallory.seal(scene.session, [text(scene, 'x', buildConversationId(bob, bob))])
    },
    code: 'wrong_participants',
    sessions: 1,
  },
  {
    name: 'section 1: a conversation in another form than its one is refused',
    forge: (scene) => {
      const [lower, higher] = scene.mallory.conversationWith(scene.stage.bob).slice(3).split(':')
      return scene.mallory.seal(scene.session, [
        text(scene, 'x', `dm:${higher}:${lower}` as ConversationId),
      ])
    },
    code: 'bad_payload',
    sessions: 1,
  },
  {
    name: 'section 8, step 5: a plaintext that is no payload is rejected',
    forge: (scene) => scene.mallory.seal(scene.session, [new Uint8Array(40).fill(7)]),
    code: 'bad_payload',
    sessions: 1,
  },
  {
    name: 'section 8, step 6: the same message under another key is a duplicate',
    forge: (scene) => {
      const payload = text(scene, 'once')
      return scene.mallory.seal(scene.session, [payload, payload])
    },
    code: 'duplicate_message',
    arrives: ['once'],
    sessions: 1,
  },
  {
    name: 'section 10: a retransmission that nobody asked for is rejected',
    forge: (scene) =>
      scene.mallory.seal(scene.session, [
        scene.mallory.text(scene.stage.bob, 'again', { retransmits: new Uint8Array(32).fill(7) }),
      ]),
    code: 'bad_payload',
    sessions: 1,
  },
  {
    name: 'section 8, step 4: a ciphertext that was changed fails after the sender is known',
    forge: (scene) => {
      const real = sealOne(scene, 'x')
      const { headerBytes, ciphertext } = parts(real)
      return [{ ...real, message: envelopeOf(headerBytes, bent(ciphertext)) }]
    },
    code: 'decryption_failed',
  },
]

/** The id of a session that somebody else has with Bob, and has written on. */
const anotherSession = async ({ stage }: Scene): Promise<Uint8Array> => {
  const eve = await CheatingPeer.register(stage.world)
  const session = await eve.sessionWith(stage.bob)
  await eve.send(session, eve.text(stage.bob, 'honest, for once'))
  await untilTexts(stage.atBob, eve.conversationWith(stage.bob), 1)
  return session.id
}
