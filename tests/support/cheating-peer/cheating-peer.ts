/**
 * A peer that cheats: an installation with valid keys and a valid grant, registered at the node like any
 * other, that then writes what no engine would. Made of the same pieces as the engine, and of its own
 * sealing where those are too honest. What it does not get to know it does not use.
 */

import { create, toBinary } from '@bufbuild/protobuf'
import type { PrivateKeyAccount } from 'viem/accounts'
import { encodeContent } from '../../../src/content/registry.ts'
import type { OpenedEnvelope } from '../../../src/crypto/crypto.ts'
import type { PrekeySecret } from '../../../src/engine/keys/prekey-uploads.ts'
import {
  InboxMessageSchema,
  PadlockMessageHeaderSchema,
  PadlockMessageSealedMetadataSchema,
} from '../../../src/gen/padlock/v1/message_pb.ts'
import type { OutgoingEnvelope } from '../../../src/network/network.ts'
import { concatBytes, encodeUtf8, equalBytes } from '../../../src/protocol/bytes.ts'
import {
  buildContactBundle,
  type ContactBundle,
  parseContactBundle,
} from '../../../src/protocol/contact.ts'
import {
  buildMetadataPart,
  parseInboxMessage,
  parseSealedMetadata,
  type SealedMetadata,
} from '../../../src/protocol/envelope.ts'
import {
  type Address,
  buildConversationId,
  type ConversationId,
  type IdentityKeys,
  type InstallationId,
} from '../../../src/protocol/ids.ts'
import { buildPayload, type PayloadFields } from '../../../src/protocol/payload.ts'
import type { SignedPrekey } from '../../../src/protocol/prekey.ts'
import {
  type HeaderFields,
  headerSigningBytes,
  headerSigningFields,
  prekeySigningBytes,
} from '../../../src/protocol/signing-bytes.ts'
import { contactTopic, messageTopic, prekeyTopic } from '../../../src/protocol/topics.ts'
import { addressOf, passed } from '../checked.ts'
import { anAccount, type EngineWorld, inboxOf } from '../engine.ts'
import { sealerTo } from '../envelope-forge/hpke.ts'
import { padMessage, padMetadata } from '../padding.ts'
import { type MadeInstallation, makeInstallation, makeSealingKey } from './installation.ts'

/** A session of its own; its state moves on with what is written and read in it. */
export interface PeerSession {
  readonly to: ContactBundle
  readonly id: Uint8Array
  /** The public prekey that it was made with. */
  readonly prekey: Uint8Array
  state: Uint8Array
}

/** What was sent to the peer, as far as it could be read. */
export interface Received {
  readonly metadata: SealedMetadata
  readonly opened: OpenedEnvelope
  readonly digest: Uint8Array
}

/** What the metadata says, where it is not the truth. */
export type Claims = Partial<HeaderFields>

const _never = new AbortController().signal

export class CheatingPeer {
  readonly #world: EngineWorld
  readonly account: PrivateKeyAccount
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  /** Secret: opaque to all but `Crypto`. */
  readonly identity: Uint8Array
  #sealingSecret: Uint8Array
  #composedNs = 0n
  readonly #prekeys: readonly PrekeySecret[]
  /** Its first bundle, which its wallet signed. */
  readonly bundle: Uint8Array
  /** Its first prekeys, signed. */
  readonly upload: Uint8Array

  private constructor(world: EngineWorld, made: MadeInstallation) {
    this.#world = world
    this.account = made.account
    this.address = addressOf(made.account)
    this.id = made.id
    this.keys = made.keys
    this.identity = made.identity
    this.#sealingSecret = made.sealingSecret
    this.#prekeys = made.prekeys
    this.bundle = made.bundle
    this.upload = made.upload
  }

  /** An installation of an account, granted by its wallet or by another; nothing is published. */
  static async make(
    world: EngineWorld,
    account: PrivateKeyAccount = anAccount(),
    wallet: PrivateKeyAccount = account,
  ): Promise<CheatingPeer> {
    return new CheatingPeer(world, await makeInstallation(world, account, wallet))
  }

  /** As `make`, and published like any other. */
  static async register(world: EngineWorld, account?: PrivateKeyAccount): Promise<CheatingPeer> {
    const peer = await CheatingPeer.make(world, account)
    await world.network.publish([
      { topic: contactTopic(peer.address), message: peer.bundle },
      { topic: prekeyTopic(peer.id), message: peer.upload },
    ])
    return peer
  }

  /**
   * Publishes a newer sealing key; mail to the one before is not opened anymore.
   *
   * @param key instead of one that it can open.
   */
  async rotateSealingKey(key?: Uint8Array): Promise<void> {
    const { secret, sealingKey } = makeSealingKey(this.#world, this, key)
    const message = buildContactBundle({ ...passed(parseContactBundle(this.bundle)), sealingKey })
    await this.#world.network.publish([{ topic: contactTopic(this.address), message }])
    this.#sealingSecret = secret
  }

  /** Any key as a prekey of its own, signed as such. */
  signPrekey(key: Uint8Array): SignedPrekey {
    const fields = { kind: 'one-time', installationId: this.id, createdNs: 1n, key } as const
    const [signature] = this.#world.crypto.sign(this.identity, [prekeySigningBytes(fields)])
    if (!signature) throw new Error('no signature')
    return { ...fields, signature }
  }

  /** The conversation of its own account with another. */
  conversationWith(account: { readonly address: string }): ConversationId {
    return buildConversationId(this.address, addressOf(account))
  }

  /** The newest installation of an account, or the one of that id. */
  async find(account: { readonly address: string }, id?: string): Promise<ContactBundle> {
    const topic = contactTopic(addressOf(account))
    const { envelopes } = await this.#world.network.query([{ topic, afterSequence: 0n }])
    const bundles = envelopes.map(({ message }) => passed(parseContactBundle(message)))
    const found = bundles.findLast(({ installationId }) => !id || installationId === id)
    if (!found) throw new Error('no installation')
    return found
  }

  /** A new session; with a prekey that is given, or else with one that it claims. */
  session(to: ContactBundle, prekey: Uint8Array): PeerSession {
    const [made] = this.#world.crypto.createOutboundSessions(this.identity, [
      { identityKey: to.keys.curve25519, prekey },
    ])
    if (!made?.ok) throw new Error('no session')
    return { to, id: made.sessionId, prekey, state: made.state }
  }

  async claim(to: ContactBundle): Promise<Uint8Array> {
    const claimId = globalThis.crypto.getRandomValues(new Uint8Array(16))
    const [claimed] = await this.#world.network.claimPrekeys(claimId, [to.installationId])
    if (!claimed?.prekey) throw new Error('no prekey')
    return claimed.prekey.key
  }

  /** A session with the newest installation of an account. */
  async sessionWith(account: { readonly address: string }): Promise<PeerSession> {
    const to = await this.find(account)
    return this.session(to, await this.claim(to))
  }

  /** A payload in the conversation with an account; every field can be something else. */
  payload(account: { readonly address: string }, fields: Partial<PayloadFields>): Uint8Array {
    return buildPayload({
      convoId: this.conversationWith(account),
      contentBytes: new Uint8Array(),
      composedNs: this.#composeNs(),
      ...fields,
    })
  }

  /** Later than the last one. */
  #composeNs(): bigint {
    const now = BigInt(this.#world.node.clock())
    this.#composedNs = now > this.#composedNs ? now : this.#composedNs + 1n
    return this.#composedNs
  }

  /** As `payload`, with a text. */
  text(
    account: { readonly address: string },
    text: string,
    fields: Partial<PayloadFields> = {},
  ): Uint8Array {
    return this.payload(account, { contentBytes: encodeContent(text), ...fields })
  }

  /** Envelopes with these payloads; `claims` is signed, and true only if the peer is what it claims. */
  seal(
    session: PeerSession,
    payloads: readonly Uint8Array[],
    claims: Claims = {},
  ): readonly OutgoingEnvelope[] {
    const { to } = session
    const fields = { ...this.headerTo(to), ...claims }
    const [sealed] = this.#world.crypto.seal(this.identity, [
      {
        state: session.state,
        sealingKey: to.sealingKey.key,
        recipientInstallationId: to.installationId,
        metadata: buildMetadataPart(fields),
        signingFields: headerSigningFields(fields),
        payloads,
      },
    ])
    if (!sealed?.ok) throw new Error('not sealed')
    session.state = sealed.state
    const topic = messageTopic(to.installationId)
    return sealed.envelopes.map(({ message }) => ({ topic, message }))
  }

  /** The Olm messages of these payloads, with the session's state moved on. */
  encrypt(session: PeerSession, payloads: readonly Uint8Array[]): readonly Uint8Array[] {
    const { crypto } = this.#world
    const [own] = crypto.createKeyPairs(1)
    if (!own) throw new Error('no key')
    const to = { ...session.to, sealingKey: { ...session.to.sealingKey, key: own.publicKey } }
    const turned = { ...session, to }
    const envelopes = this.seal(turned, payloads)
    session.state = turned.state
    const parts = envelopes.map(({ message }) => passed(parseInboxMessage(message)))
    return crypto.open([own.secret], to.installationId, parts).map((opened) => {
      if (!opened.ok || !opened.olmMessage) throw new Error('not opened')
      return opened.olmMessage
    })
  }

  /**
   * Any metadata with any Olm message under the peer's own seal: signed as it is unless a signature is
   * given. What the wasm would not seal.
   */
  sealRaw(
    to: ContactBundle,
    metadata: Partial<Record<keyof SealedMetadata, unknown>> &
      Pick<SealedMetadata, 'sessionId' | 'isPrekeyMessage'>,
    olmMessage: Uint8Array,
  ): OutgoingEnvelope {
    const info = concatBytes(encodeUtf8('padlock/seal/1'), encodeUtf8(to.installationId))
    const context = sealerTo(to.sealingKey.key, info)
    const fields = { ...this.headerTo(to), ...metadata } as SealedMetadata
    const [own] = this.#world.crypto.sign(this.identity, [headerSigningBytes(context.enc, fields)])
    const message = create(PadlockMessageSealedMetadataSchema, {
      senderUserAddress: fields.senderAddress,
      senderInstallationId: fields.senderInstallationId,
      recipientUserAddress: fields.recipientAddress,
      recipientInstallationId: fields.recipientInstallationId,
      isPrekeyMessage: fields.isPrekeyMessage,
      sessionId: fields.sessionId,
      headerSignature: { signature: metadata.headerSignature ?? own } as { signature: Uint8Array },
    })
    const padded = passed(padMetadata(toBinary(PadlockMessageSealedMetadataSchema, message)))
    const sealedMetadata = concatBytes(context.enc, context.seal(padded, new Uint8Array()))
    const header = create(PadlockMessageHeaderSchema, { sealedMetadata })
    const headerBytes = toBinary(PadlockMessageHeaderSchema, header)
    const ciphertext = context.seal(padMessage(olmMessage), headerBytes)
    return {
      topic: messageTopic(to.installationId),
      message: envelopeOf(headerBytes, ciphertext),
    }
  }

  headerTo(to: ContactBundle): HeaderFields {
    return {
      senderAddress: this.address,
      senderInstallationId: this.id,
      recipientAddress: to.address,
      recipientInstallationId: to.installationId,
    }
  }

  /** Publishes at the real node, as anyone may. */
  async publish(envelopes: readonly OutgoingEnvelope[]): Promise<void> {
    await this.#world.network.publish(envelopes)
  }

  /** Seals and publishes. @returns the digests of the envelopes */
  async send(
    session: PeerSession,
    ...payloads: readonly Uint8Array[]
  ): Promise<readonly Uint8Array[]> {
    const envelopes = this.seal(session, payloads)
    await this.publish(envelopes)
    return this.#world.crypto.digest(envelopes.map(({ message }) => message))
  }

  /** All that lies in its own inbox, opened; not decrypted. */
  async inbox(): Promise<readonly Received[]> {
    const { crypto } = this.#world
    const envelopes = await inboxOf(this.#world, this.id)
    const parts = envelopes.map(({ message }) => passed(parseInboxMessage(message)))
    const digests = crypto.digest(envelopes.map(({ message }) => message))
    return crypto.open([this.#sealingSecret], this.id, parts).flatMap((opened, at) => {
      const digest = digests[at]
      if (!opened.ok || !digest) throw new Error('not for this peer')
      return [{ opened, digest, metadata: passed(parseSealedMetadata(opened.metadata)) }]
    })
  }

  /** Makes the session that somebody began, from its first envelope. */
  accept(
    from: ContactBundle,
    { opened }: Received,
  ): PeerSession & { readonly payload: Uint8Array } {
    const { crypto } = this.#world
    const { olmMessage, headerHash } = opened
    const [parts] = olmMessage ? crypto.inspectPrekeyMessages([olmMessage]) : []
    if (!olmMessage || !parts?.ok) throw new Error('no prekey message')
    const secret = this.#prekeys.find(({ publicKey }) => equalBytes(publicKey, parts.prekey))
    if (!secret) throw new Error('no such prekey')
    const made = crypto.createInboundSession({
      identity: this.identity,
      prekeySecret: secret.secret,
      senderIdentityKey: from.keys.curve25519,
      olmMessage,
      headerHash,
    })
    if (!made.ok) throw new Error(made.code)
    const { sessionId, state, payload } = made
    return { to: from, id: sessionId, prekey: parts.prekey, state, payload }
  }
}

/** The envelope of any two parts. */
export const envelopeOf = (headerBytes: Uint8Array, ciphertext: Uint8Array): Uint8Array =>
  toBinary(
    InboxMessageSchema,
    create(InboxMessageSchema, { version: { case: 'v1', value: { headerBytes, ciphertext } } }),
  )
