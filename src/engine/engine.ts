/**
 * The engine: opens, starts and closes the parts, and serves the facade's calls. It owns one
 * database and one installation.
 */

import type { Crypto, Curves } from '../crypto/crypto.ts'
import { PadlockError } from '../errors.ts'
import type { Network } from '../network/network.ts'
import type { HeldLock, Platform } from '../platform/platform.ts'
import { formatAddress } from '../protocol/ids.ts'
import type { Store, StoreLoss } from '../store/store.ts'
import { tables } from '../store/tables.ts'
import { checkAddress, checkConsent, checkConversation, checkPlace } from './arguments.ts'
import { assemble, type Parts } from './assembly.ts'
import { openAccount } from './keys/registration.ts'
import { forgetIfRevoked } from './keys/renewal.ts'
import { revokeInstallations } from './keys/revoking.ts'
import type { Signer } from './keys/signing.ts'
import { vouchFor } from './keys/vouching.ts'
import { historyPage } from './messages/history.ts'
import type {
  ClientEvent,
  Consent,
  ConversationInfo,
  ConversationPlace,
  Installation,
  Message,
  News,
  Status,
} from './model.ts'
import { commit } from './runtime/change.ts'
import type { Context } from './runtime/context.ts'
import { readCursor } from './runtime/cursor-text.ts'
import { Mutex } from './runtime/mutex.ts'
import { readNews } from './runtime/news.ts'
import { NodeTime } from './runtime/node-time.ts'
import { StatusBoard } from './runtime/status.ts'

/** How long a second tab waits for a closing one, then fails (docs/architecture.md section 4). */
const lockWaitMs = 3_000
/** Long polls return empty after this; the caller polls again. */
const pollMs = 25_000
const maxConversations = 1_000

export interface EngineOptions extends Signer {
  readonly address: string
  /** The name of the lock that whoever has the database open holds. */
  readonly lock: string
  /** The installation that the database had when it was opened last; undefined if never. */
  readonly knownInstallationId?: string | undefined
  readonly crypto: Crypto
  readonly curves?: Curves | undefined
  readonly network: Network
  readonly platform: Platform
  /** Whether to create new keys if this installation was revoked. */
  readonly renew?: boolean
  /**
   * Opens the store. `onLost` is called when nothing works with it any more, `onLostRecord` for a record
   * that does not open, and that the client does without.
   */
  openStore(
    onLost: (why: StoreLoss) => void,
    onLostRecord: (failure: PadlockError) => void,
  ): Promise<Store>
  /** Receives the client's events, in order. */
  emit(event: ClientEvent): void
}

export class Engine {
  readonly #context: Context
  readonly #lock: HeldLock
  readonly #parts: Parts
  readonly #signer: Signer
  readonly #closing: AbortController
  #running: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | undefined
  #endedBy: PadlockError | undefined

  private constructor(
    context: Context,
    lock: HeldLock,
    closing: AbortController,
    parts: Parts,
    signer: Signer,
  ) {
    this.#context = context
    this.#lock = lock
    this.#closing = closing
    this.#parts = parts
    this.#signer = signer
  }

  /**
   * Opens the database and, where there is none, registers a new installation.
   *
   * @throws PadlockError storage_*, other_account, wallet_*, network_unavailable, aborted and the
   * node's refusals
   */
  static async open(options: EngineOptions, signal: AbortSignal): Promise<Engine> {
    const address = checkAddress(options.address)
    const { crypto, curves, network, platform } = options
    const lock = await platform.takeLock(options.lock, lockWaitMs)
    if (!lock) throw new PadlockError('storage_in_use')
    let store: Store | undefined
    let engine: Engine | undefined
    let lostBy: StoreLoss | undefined
    try {
      const status = new StatusBoard(options.emit)
      store = await options.openStore(
        (why) => {
          lostBy ??= why
          if (engine) engine.#end(why)
        },
        ({ code, details }) => status.warnOnce(code, details),
      )
      if (options.renew) await forgetIfRevoked(store)
      const isEmpty = (await store.get(tables.times, 'times')) === undefined
      const time = new NodeTime(platform)
      const surroundings = { crypto, curves, store, network, platform, time }
      const account = await openAccount(surroundings, address, options, signal)
      if (signal.aborted) throw new PadlockError('aborted')
      const closing = new AbortController()
      const context: Context = {
        ...surroundings,
        account,
        status,
        ratchetLock: new Mutex(),
        closing: closing.signal,
        emit: options.emit,
      }
      engine = new Engine(context, lock, closing, await assemble(context, options.chains), options)
      const { knownInstallationId: known } = options
      if (isEmpty && known !== undefined && known !== account.installationId) {
        context.status.warn('data_lost', 1, { installationId: known })
      }
      if (lostBy) throw new PadlockError(lostBy)
      engine.#start()
      return engine
    } catch (error) {
      await store?.close()
      lock.release()
      throw lostBy ? new PadlockError(lostBy, { cause: error }) : error
    }
  }

  #start(): void {
    this.#running = Promise.all(this.#parts.background.map((part) => part.run()))
    void this.#lock.lost.then(() => this.#end('leadership_lost'))
  }

  /** Ends by itself: whatever still fails after this fails for this reason. */
  #end(reason: StoreLoss): void {
    if (this.#closed !== undefined) return
    this.#endedBy = new PadlockError(reason)
    this.#context.status.warn(reason)
    this.close().catch(() => undefined)
  }

  /** Why it ended by itself; undefined while it runs, and after `close`. */
  get endedBy(): PadlockError | undefined {
    return this.#endedBy
  }

  get address(): string {
    return formatAddress(this.#context.account.address)
  }

  get installationId(): string {
    return this.#context.account.installationId
  }

  get status(): Status {
    return this.#context.status.current
  }

  async conversation(address: string): Promise<ConversationInfo> {
    const peer = checkAddress(address)
    const info = await this.#parts.conversations.open(peer)
    await this.#parts.connection.want(peer)
    return info
  }

  /** @throws PadlockError invalid_argument, storage_* */
  async conversations(
    limit: number = maxConversations,
    before?: ConversationPlace,
    consent?: Consent,
  ): Promise<readonly ConversationInfo[]> {
    if (!Number.isInteger(limit) || limit < 1) throw new PadlockError('invalid_argument')
    if (before) checkPlace(before)
    if (consent !== undefined) checkConsent(consent)
    return this.#parts.conversationList.page(Math.min(limit, maxConversations), before, consent)
  }

  consent(address: string): Promise<Consent> {
    return this.#parts.consents.of(checkAddress(address))
  }

  /** @throws PadlockError invalid_argument, invalid_address, storage_* */
  async setConsent(address: string, consent: Consent): Promise<void> {
    const account = checkAddress(address)
    checkConsent(consent)
    // Nobody can do without what our own devices write.
    if (account === this.#context.account.address && consent !== 'allowed') {
      throw new PadlockError('invalid_argument')
    }
    const { consents } = this.#parts
    await consents.set(account, consent, (change) => commit(this.#context.store, change))
  }

  /** Deletes messages from this device; `undefined`: the conversation with all of them. */
  async delete(conversationId: string, messageIds: readonly string[] | undefined): Promise<void> {
    const id = checkConversation(conversationId)
    const { deletion } = this.#parts
    await (messageIds ? deletion.deleteMessages(id, messageIds) : deletion.deleteConversation(id))
  }

  send(conversationId: string, content: string): Promise<Message> {
    return this.#parts.outbox.send(checkConversation(conversationId), content)
  }

  whenSent(messageId: string, signal: AbortSignal): Promise<Message> {
    return this.#parts.outbox.whenSent(messageId, pollMs, signal)
  }

  history(
    conversationId: string,
    before: string | undefined,
    limit: number,
  ): Promise<readonly Message[]> {
    if (!Number.isInteger(limit) || limit < 1) throw new PadlockError('invalid_argument')
    const { consents } = this.#parts
    return historyPage(this.#context, consents, checkConversation(conversationId), before, limit)
  }

  lastCursor(): string {
    return this.#parts.stream.lastCursor()
  }

  nextMessages(
    after: string,
    conversationId: string | undefined,
    signal: AbortSignal,
    consent?: Consent,
  ) {
    if (consent !== undefined) checkConsent(consent)
    const id = conversationId === undefined ? undefined : checkConversation(conversationId)
    return this.#parts.stream.next(after, { conversationId: id, consent }, pollMs, signal)
  }

  /** News after a cursor, oldest first. @throws PadlockError invalid_argument, storage_* */
  news(since: string, limit: number): Promise<readonly News[]> {
    if (!Number.isInteger(limit) || limit < 1) throw new PadlockError('invalid_argument')
    return readNews(this.#context, this.installationId, readCursor(since), limit)
  }

  /** The installations of an account, as its topics list them now; without an address, our own. */
  async installations(address: string | undefined): Promise<readonly Installation[]> {
    const account = address === undefined ? this.#context.account.address : checkAddress(address)
    await this.#parts.directory.reread(account)
    await this.#parts.contractAccounts.check(account)
    await this.#parts.directory.reconsider(account)
    const known = await this.#parts.directory.account(account)
    return [...known.values()]
      .filter(({ state }) => state !== 'unknown')
      .map((installation) => this.#parts.directory.describe(installation))
  }

  async canMessage(address: string): Promise<boolean> {
    return (await this.installations(address)).some(({ state }) => state === 'valid')
  }

  /** Revokes installations of our own account; the wallet is asked once. */
  async revoke(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { directory, contractAccounts } = this.#parts
    const { account, closing } = this.#context
    await directory.reread(account.address)
    const known = await directory.account(account.address)
    const revoking = { address: account.address, known, signer: this.#signer }
    await revokeInstallations(this.#context, revoking, ids, signal, closing)
    await directory.reread(account.address)
    await contractAccounts.check(account.address)
  }

  /** Vouches for pending installations of our own account; the wallet is not asked. */
  vouch(ids: readonly string[]): Promise<void> {
    return vouchFor(this.#context, this.#parts.directory, ids)
  }

  /** Stops everything; stored data is kept. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    this.#context.status.setState('closed')
    try {
      await this.#running
      // A running transaction ends before the database is closed.
      await this.#context.ratchetLock.runExclusive(async () => undefined)
    } finally {
      await this.#context.store.close()
      this.#lock.release()
    }
  }
}
