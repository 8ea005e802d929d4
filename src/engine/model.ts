/**
 * What the engine tells the outside: plain readonly data, times in milliseconds, addresses with
 * their EIP-55 checksum. These are also the public API's types.
 */

import type { ContentOf, ContentTypes } from '../content/registry.ts'
import type { PadlockErrorCode } from '../errors.ts'

/** What every message has, whatever its type. */
export interface MessageBase {
  /** The same on every installation of both people. */
  readonly id: string
  /** Where the message stands in the order of arrival: pass it as `since` or `before`. Opaque. */
  readonly cursor: string
  /**
   * Where it stands in its conversation, the same on every installation: compare as strings. Changes
   * when a pending message is sent. Opaque.
   */
  readonly order: string
  readonly conversationId: string
  /** The address that wrote it. */
  readonly sender: string
  readonly senderInstallation: string
  /** Whether this account wrote it, here or on another of its devices. */
  readonly isOwn: boolean
  /** When it was written, by the writer's clock if that is plausible. */
  readonly sentAtMs: number
  /** `pending`: only here yet. `sent`: the node has it. `received`: from someone else. */
  readonly state: 'pending' | 'sent' | 'received'
  /** Why a pending message waits, such as `no_installation`. */
  readonly reason?: PadlockErrorCode
  /** What to show when the content cannot be. */
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

/**
 * A message, told apart by `type`.
 *
 * @example
 * for (const message of await chat.history()) {
 *   console.log(message.type === 'text' ? message.content : (message.fallback ?? 'something newer'))
 * }
 */
export type Message =
  | { readonly [Type in keyof ContentTypes]: MessageOf<Type> }[keyof ContentTypes]
  | UnknownMessage

export interface ConversationInfo {
  readonly id: string
  /** The other account; one's own in a note to self. */
  readonly peer: string
  readonly createdAtMs: number
  /** Of the newest message; undefined when there is none. */
  readonly lastMessageAtMs: number | undefined
}

export interface Installation {
  readonly id: string
  readonly address: string
  /** Whether it is the one that asks. */
  readonly isThis: boolean
  /** When the node first had it. */
  readonly createdAtMs: number
  /** Its keys as the wallet was shown them when it granted it: unpadded standard base64. */
  readonly keys: { readonly curve25519: string; readonly ed25519: string }
  /**
   * `unverified`: of a contract account whose chain did not confirm its grant, or a revocation of it,
   * yet. Nothing is sent to it.
   */
  readonly state: 'valid' | 'unverified' | 'revoked'
}

export type ClientState = 'connecting' | 'catching-up' | 'live' | 'offline' | 'revoked' | 'closed'

export interface Warning {
  readonly code: PadlockErrorCode
  readonly message: string
  /** How often it happened since the client was created. */
  readonly count: number
}

/** What a client is doing, and what went wrong. */
export interface Status {
  readonly state: ClientState
  /** One for each code, newest last: why it is offline, what arrived and could not be kept. */
  readonly warnings: readonly Warning[]
}

/**
 * What happens in a client, told apart by `kind`.
 *
 * @example
 * for await (const event of client.events({ signal })) {
 *   if (event.kind === 'installation-added') console.log('a new device of', event.installation.address)
 * }
 */
export type ClientEvent =
  | { readonly kind: 'status'; readonly status: Status }
  /** A stored message changed its state. */
  | { readonly kind: 'message-state'; readonly message: Message }
  | { readonly kind: 'conversation'; readonly conversation: ConversationInfo }
  /** Either account of a conversation, or one's own, gained an installation. */
  | { readonly kind: 'installation-added'; readonly installation: Installation }
  | { readonly kind: 'installation-revoked'; readonly installation: Installation }
  /**
   * This is an older copy of its database and repaired itself; so many envelopes were sealed to keys
   * that the copy does not have, and are lost here.
   */
  | { readonly kind: 'restored'; readonly unopened: number }
  /**
   * An installation of oneself or a peer saw another history at the node than this one: entries are
   * withheld here (`node_withholding`), or replaced (`node_equivocating`). It may lie.
   */
  | {
      readonly kind: 'node-accused'
      readonly code: 'node_withholding' | 'node_equivocating'
      /** Whose devices the history is of. */
      readonly account: string
      readonly claimant: Installation
    }
  /** An installation could not decrypt what was sent to it, and got it again. */
  | { readonly kind: 'retransmitted'; readonly to: Installation; readonly count: number }
  /** Envelopes of the inbox that were not kept. */
  | {
      readonly kind: 'envelopes'
      readonly outcome: 'duplicate' | 'rejected' | 'undecryptable' | 'unsupported_version'
      readonly code: PadlockErrorCode
      readonly count: number
    }
