/** The client that an application holds, as its documentation: what it does, returns and throws. */

import type { ChainLike } from '../chains/chain-option.ts'
import type { WalletLike } from '../wallet/wallet-like.ts'
import type { Consent, Installation, News, Status } from '../worker/contract.ts'
import type { Conversation } from './conversation.ts'
import type { ClientEvent, Message } from './message.ts'
import type { MessagesOptions } from './stream.ts'

export interface ClientOptions {
  /** A viem account, a viem wallet client, an ethers signer, or an EIP-1193 provider. */
  readonly wallet: WalletLike
  /**
   * The account; if absent, the wallet is asked. If given, the wallet is not touched when an
   * installation exists.
   */
  readonly address?: string
  /** Where the node is, such as `https://node.example`. */
  readonly node: string
  /** Name of the local database; by default, one for each account. */
  readonly database?: string
  /**
   * The chains that contract accounts (Safe and other smart wallets) are on, by id, each with the
   * URL of an RPC server, a viem public client or an EIP-1193 provider. Devices of a contract
   * account on a chain that is not here, or cannot be reached, stay `unverified`: messages to and
   * from them wait. The server learns whose devices are checked.
   *
   * @example
   * const client = await createClient({ wallet, node, chains: { 8453: 'https://rpc.example' } })
   */
  readonly chains?: Readonly<Record<number, ChainLike>>
  /**
   * States that the account is a contract on this chain. Needed if the wallet does not report it;
   * used only when registering.
   */
  readonly contract?: { readonly chainId: number }
  /**
   * Whether to make new keys, asking the wallet, if this installation was revoked. The history
   * stays. Without it, a revoked client opens, shows its history and sends nothing.
   */
  readonly renew?: boolean
  /** Cancels the creation; to end an existing client call `close`. */
  readonly signal?: AbortSignal
}

export interface ClientStatus extends Status {
  /** Whether the browser promised to keep the data; undefined until it was asked. */
  readonly persisted: boolean | undefined
}

export interface ConversationsOptions {
  /**
   * Only those with accounts of which the person said this: `allowed` is a list that strangers cannot
   * touch, `unknown` the requests. By default, both, and none of denied accounts.
   */
  readonly consent?: Consent
  /** How many at most: 1,000 if absent, and never more. */
  readonly limit?: number
  /** The last conversation of the page before. */
  readonly before?: Conversation | undefined
}

export interface NewsOptions {
  /** The `cursor` of the last news that was read; without it, all that are kept. */
  readonly since?: string
  /** How many at most; 100 if absent, and never more than 500. */
  readonly limit?: number
}

/** One account on one device. Made by `createClient`. */
export interface Client {
  /** The account, with its EIP-55 checksum. */
  readonly address: string
  /** This device's installation. */
  readonly installationId: string
  /** What the client is doing now, and what went wrong; `events` reports changes. */
  readonly status: ClientStatus
  /**
   * The conversation with an account, created on the first call. With this account's own address:
   * the note to self.
   *
   * @example
   * const chat = await client.conversation('0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045')
   * await chat.send('gm')
   * @throws PadlockError invalid_address, closed, storage_*
   */
  conversation(address: string): Promise<Conversation>
  /**
   * Conversations, those with the newest messages first, each with its newest message. For more than
   * `limit`, pass the last one as `before`; only an empty page is the end.
   *
   * @example
   * const requests = await client.conversations({ consent: 'unknown' })
   * const newest = await client.conversations({ limit: 50 })
   * const older = await client.conversations({ limit: 50, before: newest.at(-1) })
   * @throws PadlockError invalid_argument, closed, storage_*
   */
  conversations(options?: ConversationsOptions): Promise<readonly Conversation[]>
  /**
   * What the person said of an account. Writing to one accepts it.
   *
   * @throws PadlockError invalid_address, closed, storage_*
   */
  consent(address: string): Promise<Consent>
  /**
   * Accepts an account (`allowed`), or blocks it (`denied`): nothing that it sends is kept from then
   * on, and what waits to go there is given up. Accepting asks for what found no room while it was a
   * request, as far as it is not older than two weeks. Known to this device only.
   *
   * @example
   * await client.setConsent(conversation.peer, 'allowed')
   * @throws PadlockError invalid_address, invalid_argument for this account's own address, closed,
   * storage_*
   */
  setConsent(address: string, consent: Consent): Promise<void>
  /**
   * Every message of all conversations, including this account's own, in order of arrival.
   *
   * @example
   * for await (const message of client.messages({ signal })) console.log(message.sender, message.content)
   */
  messages(options?: MessagesOptions): AsyncIterable<Message>
  /**
   * Events: changes of the status, of messages' states, of installations; new conversations, consent,
   * deleted messages. Starts now, ends when aborted, throws `closed` or `slow_reader`.
   *
   * @example
   * for await (const event of client.events({ signal })) {
   *   if (event.kind === 'status') console.log(event.status.state)
   * }
   */
  events(options?: { readonly signal?: AbortSignal }): AsyncIterable<ClientEvent>
  /**
   * What the person must not miss, oldest first: a device was added to this account or revoked, a
   * node was accused, a copy of the database was restored. It is stored, so an application that was
   * closed at that moment reads it later: keep the last `cursor`, and pass it as `since`. The newest
   * 1,000 are kept.
   *
   * @example
   * for (const { event } of await client.news()) {
   *   if (event.kind === 'installation-added') console.log('a new device of yours', event.installation.id)
   * }
   * @throws PadlockError invalid_argument, closed, storage_*
   */
  news(options?: NewsOptions): Promise<readonly News[]>
  /**
   * The devices of an account, as the node lists them now; without an address, this account's.
   *
   * @example
   * const mine = await client.installations()
   * console.log(mine.filter(({ state }) => state === 'valid').length)
   * @throws PadlockError invalid_address, network_unavailable, unavailable, rate_limited, closed
   */
  installations(address?: string): Promise<readonly Installation[]>
  /**
   * Whether an account has a device that can receive messages. A message to an account without one
   * waits.
   *
   * @example
   * const isThere = await client.canMessage('0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045')
   * @throws PadlockError invalid_address, network_unavailable, unavailable, rate_limited, closed
   */
  canMessage(address: string): Promise<boolean>
  /**
   * Permanently revokes devices of this account, with one wallet signature: they can no longer send
   * or receive. This device may be among them.
   *
   * @example
   * const others = (await client.installations()).filter(({ isThis }) => !isThis)
   * await client.revoke(others.map(({ id }) => id))
   * @throws PadlockError invalid_argument, too_large, wallet_rejected, wallet_pending, wallet_failed,
   * wallet_wrong_account, wallet_incomplete, wrong_signature_kind, chain_unknown, chain_unavailable,
   * network_unavailable, unavailable, rate_limited, aborted, closed
   */
  revoke(
    installationIds: readonly string[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<void>
  /**
   * Says that `pending` devices of this account are genuine: they count at once. The wallet is not
   * asked. For accounts whose address has a key and delegates to a contract (EIP-7702): a device that
   * the contract granted is pending while devices of the key are in use.
   *
   * @example
   * const pending = (await client.installations()).filter(({ state }) => state === 'pending')
   * await client.vouch(pending.map(({ id }) => id)) // once the person recognised them
   * @throws PadlockError invalid_argument, unverified, network_unavailable, unavailable,
   * rate_limited, closed
   */
  vouch(installationIds: readonly string[]): Promise<void>
  /**
   * Ends the client and keeps what is stored. Pending calls fail with `closed`.
   *
   * @example
   * await client.close()
   */
  close(): Promise<void>
  /**
   * Ends the client and deletes its database: keys, messages, everything. The account keeps the
   * installation.
   *
   * @example
   * await client.deleteLocalData()
   * @throws PadlockError storage_blocked when another tab holds the database open, storage_failed
   */
  deleteLocalData(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
