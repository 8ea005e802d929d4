/**
 * Envelopes as a peer installation makes them, each layer open to a change: what the metadata says,
 * what is signed, padded and sealed, what Olm encrypts, and what lies around it
 * (docs/protocol.md section 8, Sealing). Without changes the envelope is a good one.
 */

import type { KeyPair } from '../../../src/crypto/crypto.ts'
import { concatBytes, encodeSigningBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'
import { parseInboxMessage } from '../../../src/protocol/envelope.ts'
import {
  type Address,
  buildConversationId,
  digestEnvelope,
  type IdentityKeys,
  type InstallationId,
} from '../../../src/protocol/ids.ts'
import { passed } from '../checked.ts'
import { padMessage, padMetadata } from '../padding.ts'
import { crypto } from './basics.ts'
import { type ChangeFields, encodeFields, type Field, type FieldValue } from './fields.ts'
import { sealerTo } from './hpke.ts'

type Change = (bytes: Uint8Array) => Uint8Array

/** A peer installation: what it is and what it needs to write. */
export interface Sender {
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  readonly identity: Uint8Array
  readonly prekey: KeyPair
}

/** What a sender knows of the installation it writes to. */
export interface Target {
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  /** Newest first. */
  readonly sealingKeys: readonly Uint8Array[]
}

/** An Olm session of a sender. Forging moves nothing: the same line gives the same message again. */
export interface Line {
  readonly from: Sender
  readonly to: Target
  readonly state: Uint8Array
  readonly sessionId: Uint8Array
  readonly isPrekeyMessage: boolean
}

/** In the order in which an envelope is made. */
export interface Changes {
  /** Fields 1 to 6 of the metadata, before they are signed. */
  readonly metadata?: ChangeFields
  /** Who signs the header: an identity's state. */
  readonly signer?: Uint8Array
  /** The 64 bytes. */
  readonly signature?: Change
  /** All seven fields, after they were signed. */
  readonly signedMetadata?: ChangeFields
  readonly metadataBytes?: Change
  /** Instead of padding: gets the metadata. */
  readonly padMetadata?: Change
  /** X25519. */
  readonly sealingKey?: Uint8Array
  readonly info?: Uint8Array
  readonly firstAad?: Uint8Array
  /** enc and the first part. */
  readonly sealedMetadata?: Change
  readonly header?: ChangeFields
  readonly headerBytes?: Change
  /** What the payload names. */
  readonly headerHash?: Change
  readonly payload?: ChangeFields
  readonly payloadBytes?: Change
  readonly olm?: Change
  /** Instead of padding: gets the Olm message. */
  readonly padOlm?: Change
  readonly secondAad?: Uint8Array
  readonly ciphertext?: Change
  readonly envelope?: ChangeFields
  readonly inbox?: ChangeFields
  readonly message?: Change
}

export interface Forged {
  /** What lies on the inbox topic. */
  readonly message: Uint8Array
  readonly digest: Uint8Array
  /** The plaintext that Olm encrypted. */
  readonly payload: Uint8Array
  readonly olm: Uint8Array
  /** The session after it. */
  readonly next: Line
}

const same: Change = (bytes) => bytes
const sameFields: ChangeFields = (fields) => fields
const none = new Uint8Array()

/** What every payload says unless a test says otherwise: a text at this time. */
export const composedNs = 1_800_000_000_000_000_000n

/** An EncodedContent with a text. */
export const textContent = (text: string): Uint8Array =>
  encodeFields([
    [
      1,
      encodeFields([
        [1, 'xmtp.org'],
        [2, 'text'],
        [3, 1n],
      ]),
    ],
    [4, text],
  ])

/** The fields of a payload but for `header_hash`. */
const payloadFields = (line: Line): readonly Field[] => [
  [1, 1n],
  [3, buildConversationId(line.from.address, line.to.address)],
  [4, textContent('hello')],
  [5, composedNs],
]

/** As wasm and every verifier has it, of fields that may be anything. */
const signingBytes = (enc: Uint8Array, metadata: readonly Field[]): Uint8Array => {
  const value = (no: number): FieldValue => metadata.findLast(([at]) => at === no)?.[1] ?? ''
  const bytes = (no: number): Uint8Array => {
    const found = value(no)
    return found instanceof Uint8Array ? found : encodeUtf8(String(found))
  }
  return encodeSigningBytes([
    'padlock/header/1',
    enc,
    ...[1, 2, 3, 4].map(bytes),
    value(5) === true,
    bytes(6),
  ])
}

/** What a good envelope holds. */
export const openWith = (secret: Uint8Array, id: string, message: Uint8Array) => {
  const [opened] = crypto.open([secret], id, [passed(parseInboxMessage(message))])
  if (!opened?.ok || !opened.olmMessage) throw new Error('does not open')
  return { olmMessage: opened.olmMessage, headerHash: opened.headerHash }
}

/**
 * Olm-encrypts these very bytes. wasm appends the hash of a header that it makes; behind the beginning
 * of an unknown field of that length nobody sees it.
 */
const encrypt = (line: Line, payload: Uint8Array) => {
  const [key] = crypto.createKeyPairs(1)
  if (!key) throw new Error('no key')
  const unknownField = Uint8Array.of(0x7a, 34)
  const [sealed] = crypto.seal(line.from.identity, [
    {
      state: line.state,
      sealingKey: key.publicKey,
      recipientInstallationId: line.to.id,
      metadata: none,
      signingFields: none,
      payloads: [concatBytes(payload, unknownField)],
    },
  ])
  if (!sealed?.ok) throw new Error('not sealed')
  const [envelope] = sealed.envelopes
  if (!envelope) throw new Error('no envelope')
  const { olmMessage } = openWith(key.secret, line.to.id, envelope.message)
  return { olm: olmMessage, state: sealed.state }
}

/** An envelope of this session, changed as told. */
export const forge = (line: Line, changes: Changes = {}): Forged => {
  const { from, to } = line
  const info = changes.info ?? concatBytes(encodeUtf8('padlock/seal/1'), encodeUtf8(to.id))
  const sealer = sealerTo(changes.sealingKey ?? to.sealingKeys[0] ?? none, info)

  const toSign = (changes.metadata ?? sameFields)([
    [1, from.address],
    [2, from.id],
    [3, to.address],
    [4, to.id],
    [5, line.isPrekeyMessage],
    [6, line.sessionId],
  ])
  const [signed] = crypto.sign(changes.signer ?? from.identity, [signingBytes(sealer.enc, toSign)])
  const signature = (changes.signature ?? same)(signed ?? none)
  const metadata = (changes.metadataBytes ?? same)(
    encodeFields(
      (changes.signedMetadata ?? sameFields)([...toSign, [7, encodeFields([[1, signature]])]]),
    ),
  )
  const padded = changes.padMetadata?.(metadata) ?? passed(padMetadata(metadata))
  const first = sealer.seal(padded, changes.firstAad ?? none)
  const sealedMetadata = (changes.sealedMetadata ?? same)(concatBytes(sealer.enc, first))
  const headerBytes = (changes.headerBytes ?? same)(
    encodeFields((changes.header ?? sameFields)([[2, sealedMetadata]])),
  )

  const headerHash = (changes.headerHash ?? same)(digestEnvelope(headerBytes))
  const payload = (changes.payloadBytes ?? same)(
    encodeFields((changes.payload ?? sameFields)([...payloadFields(line), [2, headerHash]])),
  )
  const { olm, state } = encrypt(line, payload)
  const changedOlm = (changes.olm ?? same)(olm)
  const paddedOlm = changes.padOlm?.(changedOlm) ?? padMessage(changedOlm)
  const ciphertext = (changes.ciphertext ?? same)(
    sealer.seal(paddedOlm, changes.secondAad ?? headerBytes),
  )
  const envelope = (changes.envelope ?? sameFields)([
    [1, headerBytes],
    [2, ciphertext],
  ])
  const message = (changes.message ?? same)(
    encodeFields((changes.inbox ?? sameFields)([[1, encodeFields(envelope)]])),
  )
  return { message, digest: digestEnvelope(message), payload, olm, next: { ...line, state } }
}

/** What Olm makes of this session's next message: to learn the ids in it before they are claimed. */
export const peekOlm = (line: Line): Uint8Array => encrypt(line, none).olm

/** Content bytes of just this length. */
export const contentOf = (length: number): Uint8Array => {
  const head = textContent('').slice(0, -2)
  const room = length - head.length
  const text = room - 1 - (room > 16_384 + 4 ? 3 : room > 130 ? 2 : 1)
  const content = concatBytes(head, encodeFields([[4, new Uint8Array(text).fill(0x61)]]))
  if (content.length !== length) throw new Error(`${content.length} bytes`)
  return content
}
