/**
 * What crosses the thread boundary: two interfaces of plain data. To add a call, write its line
 * here; the compiler names the other places.
 */

import type {
  ClientEvent,
  Consent,
  ConversationInfo,
  ConversationPlace,
  Installation,
  Message,
  News,
  Status,
} from '../engine/model.ts'
import type { AccountCode } from '../protocol/account-code.ts'

export type {
  ClientEvent,
  ClientState,
  Consent,
  ConversationData,
  ConversationInfo,
  EventData,
  Installation,
  Message,
  MessageBase,
  MessageData,
  MessageOf,
  News,
  NewsEvent,
  Status,
  TextMessage,
  UnknownMessage,
  Warning,
} from '../engine/model.ts'

/** An account at a node, and the chains that can be asked about it. */
export interface AccountRequest {
  readonly node: string
  readonly address: string
  /** The chains that `verifyContract` can ask. */
  readonly chainIds: readonly bigint[]
  /** The account is a contract on this chain. */
  readonly contractChainId: bigint | undefined
}

export interface OpenRequest extends AccountRequest {
  readonly database: string
  /** The installation that the database had when it was opened last; undefined if never. */
  readonly knownInstallationId: string | undefined
  /** Whether to make new keys if this installation was revoked. */
  readonly renew: boolean
}

export interface Opened {
  /** With its EIP-55 checksum. */
  readonly address: string
  readonly installationId: string
  readonly status: Status
}

/** Main thread to worker. */
export interface WorkerApi {
  /** Compiles padlock.wasm, from its address or from its bytes; comes before `open`. */
  load(arg: { readonly wasm: string | Uint8Array<ArrayBuffer> }): Promise<void>
  /** Opens the database and, where there is none, registers a new installation. */
  open(arg: OpenRequest, signal: AbortSignal): Promise<Opened>
  conversation(arg: { readonly address: string }): Promise<ConversationInfo>
  conversations(arg: {
    readonly limit: number | undefined
    readonly before: ConversationPlace | undefined
    readonly consent: Consent | undefined
  }): Promise<readonly ConversationInfo[]>
  consent(arg: { readonly address: string }): Promise<Consent>
  setConsent(arg: { readonly address: string; readonly consent: Consent }): Promise<void>
  /** Deletes messages from this device; without ids, all of a conversation. */
  delete(arg: {
    readonly conversationId: string
    readonly messageIds: readonly string[] | undefined
  }): Promise<void>
  send(arg: { readonly conversationId: string; readonly content: string }): Promise<Message>
  /** What failed may work again, or what worked may have broken unnoticed: see `Platform.onReturn`. */
  returned(arg: Record<string, never>): Promise<void>
  /** The message once it is no longer pending, or as it is after a while; then call again. */
  whenSent(arg: { readonly messageId: string }, signal: AbortSignal): Promise<Message>
  history(arg: {
    readonly conversationId: string
    readonly before: string | undefined
    readonly limit: number
  }): Promise<readonly Message[]>
  /** The cursor of the newest message. */
  lastCursor(arg: Record<string, never>): Promise<string>
  /** What arrived after a cursor; if nothing has, waits a while and then returns an empty page. */
  nextMessages(
    arg: {
      readonly after: string
      readonly conversationId: string | undefined
      readonly consent: Consent | undefined
    },
    signal: AbortSignal,
  ): Promise<{ readonly messages: readonly Message[]; readonly cursor: string }>
  news(arg: { readonly since: string; readonly limit: number }): Promise<readonly News[]>
  installations(arg: { readonly address: string | undefined }): Promise<readonly Installation[]>
  canMessage(arg: { readonly address: string }): Promise<boolean>
  /** Revokes installations of this account; may take as long as the person does. */
  revoke(arg: { readonly ids: readonly string[] }, signal: AbortSignal): Promise<void>
  /** Vouches for pending installations of this account. */
  vouch(arg: { readonly ids: readonly string[] }): Promise<void>
  /** Without `open`: the installations of any account. */
  listInstallations(arg: AccountRequest, signal: AbortSignal): Promise<readonly Installation[]>
  /** Without `open`: revokes installations of the wallet's account. */
  revokeInstallations(
    arg: AccountRequest & { readonly ids: readonly string[] },
    signal: AbortSignal,
  ): Promise<void>
  close(arg: { readonly deleteData: boolean }): Promise<void>
}

/** Worker to main thread. */
export interface HostApi {
  /** Asks the wallet; may take as long as the person does. */
  signText(
    arg: { readonly text: string; readonly address: string },
    signal: AbortSignal,
  ): Promise<Uint8Array>
  /** The wallet's own chain, and which code the address has there. */
  findChain(arg: {
    readonly address: string
  }): Promise<{ readonly chainId: bigint; readonly code: AccountCode | undefined } | undefined>
  /** Whether a contract account accepts a signature: the application has the chains' clients. */
  verifyContract(
    arg: {
      readonly chainId: bigint
      readonly address: string
      readonly hash: Uint8Array
      readonly signature: Uint8Array
    },
    signal: AbortSignal,
  ): Promise<'valid' | 'delegated' | 'invalid' | 'doubtful' | 'unreachable'>
  deliver(arg: { readonly events: readonly ClientEvent[] }): Promise<void>
}
