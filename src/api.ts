/** What both entries export besides their own `createClient`. */

export type { ChainLike } from './chains/chain-option.ts'
export type { ChainClientLike } from './chains/chains.ts'
export type { ContentOf, ContentTypes } from './content/registry.ts'
export {
  type ErrorDetails,
  PadlockError,
  type PadlockErrorCode,
  type PadlockErrorOptions,
} from './errors.ts'
export type {
  Client,
  ClientOptions,
  ClientStatus,
  ConversationsOptions,
  NewsOptions,
} from './facade/client.ts'
export type { Conversation, HistoryOptions, SendOptions } from './facade/conversation.ts'
export { deleteLocalData } from './facade/delete-local-data.ts'
export type { AccountOptions } from './facade/engine-host.ts'
export type { ClientEvent, ConversationInfo, Message, MessageActions } from './facade/message.ts'
export type { MessagesOptions, StreamOptions } from './facade/stream.ts'
// Symbols below should only matter to those who write adapters.
export type {
  AccountLike,
  EthersSignerLike,
  ProviderLike,
  WalletClientLike,
  WalletLike,
} from './wallet/wallet-like.ts'
export type {
  ClientState,
  Consent,
  ConversationData,
  EventData,
  Installation,
  MessageBase,
  MessageData,
  MessageOf,
  News,
  NewsEvent,
  Status,
  TextMessage,
  UnknownMessage,
  Warning,
} from './worker/contract.ts'
