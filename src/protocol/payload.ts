/**
 * The payload: the plaintext of an Olm message (docs/protocol.md sections 4 and 8). It is built
 * without header_hash, which wasm appends, and checked in the order of section 8, step 5.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  PadlockMessagePayloadSchema,
  PadlockMessagePayloadVersion,
  TopicHeadSchema,
} from '../gen/padlock/v1/message_pb.ts'
import { equalBytes } from './bytes.ts'
import { type Address, type ConversationId, parseConversationId } from './ids.ts'
import { contentLimitBytes, digestBytes, nodeIdBytes } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { contactTopic, revokedTopic, type Topic } from './topics.ts'

/** How far the sender saw a contact or revoked topic. */
export interface TopicHead {
  readonly topic: Topic
  readonly sequence: bigint
  /** H(sequence), 32 bytes: see heads.ts. */
  readonly hash: Uint8Array
}

/** What a payload is built from. */
export interface PayloadFields {
  readonly convoId: ConversationId
  /** A serialised EncodedContent, at most 900 KiB. */
  readonly contentBytes: Uint8Array
  readonly composedNs: bigint
  /** The digest of the envelope that a retransmission answers, 32 bytes. */
  readonly retransmits?: Uint8Array | undefined
  readonly heads?: readonly TopicHead[] | undefined
  /** The node whose heads these are, 16 bytes. */
  readonly nodeId?: Uint8Array | undefined
}

/** A payload that passed its checks. `contentBytes` is a view into the plaintext. */
export interface Payload {
  /** Of the header that it was sealed under; wasm compared it before the ratchet moved. */
  readonly headerHash: Uint8Array
  readonly convoId: ConversationId
  readonly participants: readonly [Address, Address]
  readonly contentBytes: Uint8Array
  readonly composedNs: bigint
  /** Absent unless it is a retransmission. */
  readonly retransmits: Uint8Array | undefined
  /** At most one for each contact and revoked topic of the two accounts. */
  readonly heads: readonly TopicHead[]
  /** Absent if the payload carries no heads. */
  readonly nodeId: Uint8Array | undefined
}

/** The bytes of a payload of version 1 without header_hash. Checks nothing. */
export const buildPayload = (fields: PayloadFields): Uint8Array =>
  toBinary(
    PadlockMessagePayloadSchema,
    create(PadlockMessagePayloadSchema, {
      messageVersion: PadlockMessagePayloadVersion.ONE,
      convoId: fields.convoId,
      contentBytes: fields.contentBytes,
      composedNs: fields.composedNs,
      ...(fields.retransmits === undefined ? {} : { retransmits: fields.retransmits }),
      heads: (fields.heads ?? []).map((head) => create(TopicHeadSchema, head)),
      ...(fields.nodeId === undefined ? {} : { nodeId: fields.nodeId }),
    }),
  )

/**
 * Reads a decrypted plaintext. `unsupported_version` for a later version or conversation type;
 * `bad_payload` if it does not parse, has version 0 or a malformed field; `message_too_large` if
 * the content is over 900 KiB. header_hash has been checked already, by `checkHeaderHash` or in
 * wasm.
 */
export function parsePayload(bytes: Uint8Array): Checked<Payload> {
  const message = decodeMessage(PadlockMessagePayloadSchema, bytes)
  if (message === undefined) return bad('bad_payload', 'not protobuf')
  if (message.messageVersion === PadlockMessagePayloadVersion.UNSPECIFIED) {
    return bad('bad_payload', 'payload version 0')
  }
  if (message.messageVersion !== PadlockMessagePayloadVersion.ONE) {
    return bad('unsupported_version', 'unknown payload version')
  }
  const conversation = parseConversationId(message.convoId)
  if (!conversation.ok) return conversation
  if (message.contentBytes.length > contentLimitBytes) {
    return bad('message_too_large', 'content over 900 KiB')
  }
  const retransmits = takeBytes(message.retransmits, digestBytes)
  if (retransmits === undefined && message.retransmits.length > 0) {
    return bad('bad_payload', 'retransmits is not a digest')
  }
  return good({
    headerHash: message.headerHash,
    convoId: conversation.value.id,
    participants: conversation.value.participants,
    contentBytes: message.contentBytes,
    composedNs: message.composedNs,
    retransmits,
    heads: readHeads(message.heads, conversation.value.participants),
    nodeId: takeBytes(message.nodeId, nodeIdBytes),
  })
}

/** The topics that have heads: the contact and revoked topics of these accounts. */
export const headTopics = (addresses: readonly Address[]): ReadonlySet<Topic> =>
  new Set(addresses.flatMap((address) => [contactTopic(address), revokedTopic(address)]))

/** Heads of other topics are ignored (section 8), and so is a second one of the same topic. */
function readHeads(
  messages: readonly { topic: string; sequence: bigint; hash: Uint8Array }[],
  participants: readonly Address[],
): readonly TopicHead[] {
  const heads: TopicHead[] = []
  for (const topic of headTopics(participants)) {
    const message = messages.find((candidate) => candidate.topic === topic)
    const hash = takeBytes(message?.hash, digestBytes)
    if (message !== undefined && hash !== undefined) {
      heads.push({ topic, sequence: message.sequence, hash })
    }
  }
  return heads
}

/**
 * The readable reference for what wasm's decrypt call checks: whether the plaintext names this
 * header; `header_mismatch` if it names another one or none. A plaintext that does not parse names
 * nothing and passes here; `parsePayload` refuses it.
 */
export function checkHeaderHash(plaintext: Uint8Array, headerHash: Uint8Array): Checked<undefined> {
  const message = decodeMessage(PadlockMessagePayloadSchema, plaintext)
  return message === undefined || equalBytes(message.headerHash, headerHash)
    ? good(undefined)
    : bad('header_mismatch', 'header_hash does not match')
}

/** Whether both accounts take part; a copy to one's own device names oneself twice. */
function checkParticipants(
  payload: Pick<Payload, 'participants'>,
  sender: Address,
  recipient: Address,
): Checked<undefined> {
  return payload.participants.includes(sender) && payload.participants.includes(recipient)
    ? good(undefined)
    : bad('wrong_participants', 'sender or recipient is no participant')
}

/**
 * Step 5: the payload is well formed and names sender and recipient; same codes as `parsePayload`.
 */
export function checkPayload(
  plaintext: Uint8Array,
  sender: Address,
  recipient: Address,
): Checked<Payload> {
  const payload = parsePayload(plaintext)
  if (!payload.ok) return payload
  const participants = checkParticipants(payload.value, sender, recipient)
  return participants.ok ? payload : participants
}
