/**
 * What the engine returns and emits: plain readonly data, times in milliseconds, addresses with
 * their EIP-55 checksum. These are also the public API's types.
 */

import type { ContentOf, ContentTypes } from '../content/registry.ts'
import type { ErrorDetails, PadlockErrorCode } from '../errors.ts'

/**
 * What the person said of an account. `unknown`: nothing yet; who writes makes a request. `allowed`:
 * accepted, or written to. `denied`: nothing of it is kept.
 */
export type Consent = 'unknown' | 'allowed' | 'denied'

/** The fields of every message, whatever its type. */
export interface MessageBase {
  /** The same on every installation of both people. */
  readonly id: string
  /** The message's place in the order of arrival: pass it as `since` or `before`. Opaque. */
  readonly cursor: string
  /**
   * Its place in the conversation: compare as strings. The same on every installation that the
   * message reached at once; a copy that came later, as on a new device, stands where it arrived.
   * Changes when a pending message is sent. Opaque.
   */
  readonly order: string
  readonly conversationId: string
  /** What this person said of the conversation's other account, as of when this was read. */
  readonly consent: Consent
  /** The address that wrote it. */
  readonly sender: string
  readonly senderInstallation: string
  /** Whether this account wrote it, here or on another of its devices. */
  readonly isOwn: boolean
  /** When it was written, by the writer's clock if that is plausible. */
  readonly sentAtMs: number
  /** `pending`: only stored here so far. `sent`: the node has it. `received`: from someone else. */
  readonly state: 'pending' | 'sent' | 'received'
  /** Why a pending message waits, such as `no_installation`. */
  readonly reason?: PadlockErrorCode
  /** What to show if the content cannot be shown. */
  readonly fallback?: string
}

/** A message of one content type, named as in `type`. */
export type MessageOf<Type extends keyof ContentTypes> = MessageBase & ContentOf<Type>

export type TextMessage = MessageOf<'text'>

/** A content type that this release does not know, or content that does not decode. */
export interface UnknownMessage extends MessageBase {
  readonly type: 'unknown'
  /** `authority/type:major.minor`; empty if the content names none. */
  readonly contentType: string
  readonly content: undefined
}

/** A message without what one can do with it: plain data, discriminated by `type`. */
export type MessageData =
  | { readonly [Type in keyof ContentTypes]: MessageOf<Type> }[keyof ContentTypes]
  | UnknownMessage

/** Short, where nothing else is meant. */
export type Message = MessageData

/** What is known of a conversation. */
export interface ConversationData {
  readonly id: string
  /** The other account; this client's own in a note to self. */
  readonly peer: string
  readonly createdAtMs: number
  /** When the newest message was sent; undefined if there is none. */
  readonly lastMessageAtMs: number | undefined
  /** What the person said of the other account. `unknown` with messages in it is a request. */
  readonly consent: Consent
  /** How many messages are in it. */
  readonly messageCount: number
  /**
   * How many more messages a request had than are kept of one. Accepting it asks for up to 100 of each
   * device.
   */
  readonly leftOutCount: number
}

export interface ConversationInfo extends ConversationData {
  /** The newest message, if a list of conversations was asked for. */
  readonly lastMessage?: Message
}

/** Where a conversation stood in the list when it was read. */
export type ConversationPlace = Pick<ConversationInfo, 'id' | 'createdAtMs' | 'lastMessageAtMs'>

export interface Installation {
  readonly id: string
  readonly address: string
  /** Whether it is this client's installation. */
  readonly isThis: boolean
  /** When the node received it first. */
  readonly createdAtMs: number
  /** Its keys, as shown in the wallet when it was granted: unpadded standard base64. */
  readonly keys: { readonly curve25519: string; readonly ed25519: string }
  /**
   * `unverified`: it belongs to a contract account whose chain has not yet confirmed its grant, or
   * a revocation of it. `pending`: a contract granted it for an account that also has a key, and
   * another installation has to vouch for it (`client.vouch`), or time to pass. Nothing is sent to
   * either.
   */
  readonly state: 'valid' | 'pending' | 'unverified' | 'revoked'
}

/** An event that is kept for whoever listens later. */
export type NewsEvent = Extract<
  EventData,
  { readonly kind: 'installation-added' | 'installation-revoked' | 'node-accused' | 'restored' }
>

/** Something that the person should hear of, however late. */
export interface News {
  /** Pass it as `since` to get what came after. */
  readonly cursor: string
  readonly atMs: number
  readonly event: NewsEvent
}

export type ClientState = 'connecting' | 'catching-up' | 'live' | 'offline' | 'revoked' | 'closed'

export interface Warning {
  readonly code: PadlockErrorCode
  readonly message: string
  /** How often it happened since the client was created. */
  readonly count: number
  /** Facts about the last time, such as the installation that was lost. */
  readonly details?: ErrorDetails
}

/** A client's state, and what went wrong. */
export interface Status {
  readonly state: ClientState
  /** One per code, newest last: why the client is offline, which envelopes could not be kept. */
  readonly warnings: readonly Warning[]
}

/** The engine's events: plain data, discriminated by `kind`. */
export type ClientEvent =
  | EventData
  | { readonly kind: 'message-state'; readonly message: Message }
  | { readonly kind: 'conversation'; readonly conversation: ConversationInfo }

/** The events that carry nothing but data. */
export type EventData =
  | { readonly kind: 'status'; readonly status: Status }
  /** The person accepted an account, by a call or by writing to it, or denied it. */
  | { readonly kind: 'consent'; readonly address: string; readonly consent: Consent }
  /** Messages were deleted from this device; all of the conversation if `messageIds` is absent. */
  | {
      readonly kind: 'deleted'
      readonly conversationId: string
      readonly messageIds?: readonly string[]
    }
  /** An account of a conversation, or this client's account, gained an installation. */
  | { readonly kind: 'installation-added'; readonly installation: Installation }
  | { readonly kind: 'installation-revoked'; readonly installation: Installation }
  /**
   * The database was rolled back, and the client repaired itself. `unopened` envelopes were sealed
   * to keys that this copy does not have, and are lost here.
   */
  | { readonly kind: 'restored'; readonly unopened: number }
  /**
   * Another installation, of this account or a peer, claims that the node showed it another
   * history: entries are withheld here (`node_withholding`), or replaced (`node_equivocating`). It
   * may lie.
   */
  | {
      readonly kind: 'node-accused'
      readonly code: 'node_withholding' | 'node_equivocating'
      /** The account whose installations the history lists. */
      readonly account: string
      readonly claimant: Installation
    }
  /** An installation could not decrypt messages from this one, and was sent them again. */
  | { readonly kind: 'retransmitted'; readonly to: Installation; readonly count: number }
  /** Received envelopes that were not kept. */
  | {
      readonly kind: 'envelopes'
      readonly outcome: 'duplicate' | 'rejected' | 'undecryptable' | 'unsupported_version'
      readonly code: PadlockErrorCode
      readonly count: number
    }
