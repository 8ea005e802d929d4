/**
 * Which installations each account has: built from contact and revoked topics, with every signature
 * checked here, as the node is not trusted (docs/protocol.md sections 3 and 8). An account is
 * covered while its two topics are in the live subscription; any other is queried when it matters.
 */

import type { NodeEnvelope } from '../../network/network.ts'
import { emptyHead, nextHead } from '../../protocol/heads.ts'
import { type Address, digestEnvelope, formatAddress } from '../../protocol/ids.ts'
import { lookupAddresses } from '../../protocol/limits.ts'
import { contactTopic, parseTopic, revokedTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'
import type { Installation, NewsEvent } from '../model.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors, Position } from '../runtime/cursors.ts'
import { Mutex } from '../runtime/mutex.ts'
import { newsChange } from '../runtime/news.ts'
import { AccountChanges } from './account-changes.ts'
import { AccountQueries } from './account-queries.ts'
import { isMoot, parseContractStatement } from './contract-statements.ts'
import { Coverage } from './coverage.ts'
import { describeInstallation, installationWrite } from './installation-records.ts'
import { KnownAccounts } from './known-accounts.ts'
import { isUsable, type KnownAccount, type KnownInstallation } from './known-installations.ts'
import type { NewVerification, PendingVerifications } from './pending-verification.ts'
import { isRevokedLately, RevokedLately } from './revoked-lately.ts'
import { confirm, readContact, readRevocation } from './statements.ts'

type InstallationEvent = Extract<
  NewsEvent,
  { readonly kind: 'installation-added' | 'installation-revoked' }
>

export type { KnownInstallation } from './known-installations.ts'

/** Receives what the directory learns. */
export interface DirectoryListener {
  /** Commits that these are usable from now on, together with the messages deferred for them. */
  gained(
    installations: readonly KnownInstallation[],
    commit: (more: Change) => Promise<void>,
  ): Promise<void>
  /** An account's topics delivered something: it may have gained or lost installations. */
  onChange(address: Address): void
  /** A statement was read that a chain has to confirm. */
  onUnverified(): void
  /** Asks the chains of these accounts, and resolves soon, whether or not they answer. */
  awaitVerification(addresses: readonly Address[]): Promise<void>
}

export class Directory {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #pending: PendingVerifications
  readonly #listener: DirectoryListener
  readonly #accounts: KnownAccounts
  readonly #mutex = new Mutex()
  readonly #queries: AccountQueries
  readonly #revokedLately: RevokedLately
  readonly coverage: Coverage

  constructor(
    context: Context,
    cursors: Cursors,
    pending: PendingVerifications,
    listener: DirectoryListener,
  ) {
    this.#context = context
    this.#cursors = cursors
    this.#pending = pending
    this.#listener = listener
    this.#accounts = new KnownAccounts(context, (address) => this.#readAgain(address))
    this.#queries = new AccountQueries(context, cursors, (envelopes) => this.apply(envelopes))
    this.#revokedLately = new RevokedLately(context.store)
    this.coverage = new Coverage(context.platform)
  }

  load(): Promise<void> {
    return this.#revokedLately.load()
  }

  /**
   * Call this when everything received so far is processed: from then on, an installation revoked
   * by now is rejected whatever time the node gives its envelopes (section 8, step 3).
   */
  rememberRevoked(): Promise<void> {
    return this.#mutex.runExclusive(async () => {
      // A database of an earlier release does not say whose revocations came lately.
      for (const address of this.#revokedLately.addresses ?? this.coverage.followed) {
        const account = await this.account(address)
        const past = [...account.values()].flatMap((one) =>
          isRevokedLately(one) ? [{ ...one, isPast: true }] : [],
        )
        if (past.length === 0) continue
        await commit(this.#context.store, { writes: past.map(installationWrite) })
        this.#accounts.remember(
          address,
          new Map([...account, ...past.map((one) => [one.id, one] as const)]),
        )
      }
      const change = this.#revokedLately.clearChange()
      if (change) await commit(this.#context.store, change)
    })
  }

  /** The known installations of an account, including revoked ones. */
  account(address: Address): Promise<KnownAccount> {
    return this.#accounts.get(address)
  }

  /** Reads an account's topics from their beginning, once whatever is under way is done. */
  async #readAgain(address: Address): Promise<void> {
    await this.#mutex.runExclusive(() => {
      const again = [contactTopic(address), revokedTopic(address)].map((topic) =>
        this.#cursors.positionChange(topic, 0n, emptyHead),
      )
      return commit(this.#context.store, joinChanges(...again))
    })
    await this.reread(address)
  }

  /** Installations that messages may be encrypted to, except this one. */
  async recipients(address: Address): Promise<readonly KnownInstallation[]> {
    const account = await this.account(address)
    return [...account.values()].filter(
      (installation) =>
        isUsable(installation) && installation.id !== this.#context.account.installationId,
    )
  }

  /** Queries the node for the accounts that the subscription does not cover. */
  async refresh(addresses: readonly Address[]): Promise<void> {
    const uncovered = addresses.filter((address) => !this.coverage.isCovered(address))
    for (let at = 0; at < uncovered.length; at += lookupAddresses) {
      await this.#readAll(uncovered.slice(at, at + lookupAddresses))
    }
    await this.#settle(addresses)
  }

  /**
   * Queries the node for at most 500 accounts, covered or not, of whom nothing is known but that
   * somebody named them. Whoever has so much on their topics that the answer takes another page
   * holds up nobody else: they are read on at the next look-up.
   *
   * @param takePage whether there may be one more page
   * @returns those that were read to the ends of their topics
   * @throws PadlockError
   */
  async lookUp(
    addresses: readonly Address[],
    takePage: () => boolean,
  ): Promise<readonly Address[]> {
    const read = await this.#queries.readLight(addresses.slice(0, lookupAddresses), takePage)
    this.coverage.onQueried(read)
    await this.#settle(read)
    return read
  }

  async #settle(addresses: readonly Address[]): Promise<void> {
    await this.#listener.awaitVerification(addresses)
    for (const address of addresses) await this.reconsider(address)
  }

  /** Queries the node for an account even if it is covered. */
  async reread(address: Address): Promise<void> {
    await this.#readAll([address])
  }

  async #readAll(addresses: readonly Address[]): Promise<void> {
    await this.#queries.readAll(addresses)
    this.coverage.onQueried(addresses)
  }

  /**
   * Processes envelopes of contact and revoked topics, in order; those seen before are skipped.
   *
   * @returns whether any was new
   */
  apply(envelopes: readonly NodeEnvelope[]): Promise<boolean> {
    return this.#mutex.runExclusive(() => this.#apply(envelopes))
  }

  async #apply(envelopes: readonly NodeEnvelope[]): Promise<boolean> {
    const { nodeId } = this.#cursors
    const changes = new AccountChanges(this.#context.time.passedNs())
    const positions = new Map<string, Position>()
    const writes: Write[] = []
    const unverified: NewVerification[] = []

    for (const envelope of envelopes) {
      const topic = parseTopic(envelope.topic)
      if (!topic.ok || (topic.value.kind !== 'contact' && topic.value.kind !== 'revoked')) continue
      const { address, kind } = topic.value
      const position =
        positions.get(envelope.topic) ?? (await this.#cursors.position(envelope.topic))
      if (envelope.sequence <= position.sequence) continue
      // These topics are kept forever: a missing envelope is withheld (section 5).
      const missing = envelope.sequence - position.sequence - 1n
      if (missing > 0n) this.#context.status.warn('gap', Number(missing))
      if (position.sequence > 0n)
        writes.push(this.#cursors.earlierHeadWrite(envelope.topic, position))
      positions.set(envelope.topic, {
        sequence: envelope.sequence,
        head: nextHead(position.head, digestEnvelope(envelope.message)),
      })
      const before = await this.account(address)
      const account = changes.of(address, before)
      // At another node every position is 0 again, but new envelopes there are still news.
      const wasKnown = position.sequence > 0n || this.coverage.wasRead(address) || before.size > 0
      const { message, nodeNs } = envelope
      const isGrant = kind === 'contact'
      const { updates, asks } = isGrant
        ? readContact(this.#context.crypto, address, message, nodeNs, account)
        : readRevocation(address, message, nodeNs, account)
      if (asks) unverified.push({ address, message, nodeNs, isGrant, isNews: wasKnown })
      else if (!isGrant && updates.length > 0)
        writes.push(...this.#ownRevocationWrites(address, message))
      if (updates.length === 0) continue
      const { news, usable } = changes.apply(account, updates)
      if (!wasKnown) continue
      changes.news.push(...news)
      changes.gained.push(...usable)
    }
    // A position at one node means nothing at another.
    if (positions.size === 0 || this.#cursors.nodeId !== nodeId) return false

    const moved = Array.from(positions, ([topic, { sequence, head }]) =>
      this.#cursors.positionChange(topic, sequence, head, this.#context.time.stampMs()),
    )
    const pending = this.#pending.additionChange(unverified, (address, statement) =>
      isMoot(changes.accounts.get(address) ?? new Map(), statement),
    )
    await this.#save(changes, joinChanges({ writes }, ...moved, pending))
    if (pending.count > 0) this.#listener.onUnverified()
    return true
  }

  /**
   * The chain of a contract account confirmed a grant or a revocation.
   *
   * @param isDelegated whether the address has an EIP-7702 designator there
   * @returns false if that does not count for this account
   */
  confirm(number: number, isDelegated: boolean): Promise<boolean> {
    return this.#mutex.runExclusive(async () => {
      const record = await this.#pending.read(number)
      const pending = this.#pending.get(number)
      const isGrant = pending?.kind === 'grant'
      const statement = record && pending && parseContractStatement(record.message, isGrant)
      if (!statement) return true
      const { address } = pending
      const changes = new AccountChanges(this.#context.time.passedNs())
      const account = changes.of(address, await this.account(address))
      const updates = confirm(statement, isDelegated, record.nodeNs, account)
      if (!updates) return false
      const { news, usable } = changes.apply(account, updates)
      // Devices found on the first read of an account are not news, even if confirmed only now.
      if (record.isNews) changes.news.push(...news)
      // Messages may have gone to the account's other installations meanwhile.
      changes.gained.push(...usable)
      const writes = isGrant ? [] : this.#ownRevocationWrites(address, record.message)
      await this.#save(changes, joinChanges({ writes }, this.#pending.removalChange([number])))
      return true
    })
  }

  /**
   * Forgets everything of these accounts. What was revoked is not remembered either, so only of accounts
   * with which the person has nothing.
   */
  forget(addresses: ReadonlySet<Address>): Promise<void> {
    return this.#mutex.runExclusive(async () => {
      const { store, closing } = this.#context
      for await (const page of store.pages(tables.cursors)) {
        if (closing.aborted) return
        const theirs = page.flatMap(({ value }) => {
          const topic = parseTopic(value.topic)
          const isTheirs =
            topic.ok && 'address' in topic.value && addresses.has(topic.value.address)
          return isTheirs ? [value] : []
        })
        if (theirs.length > 0) await commit(store, this.#cursors.removalChange(theirs))
      }
      for (const address of addresses) {
        if (closing.aborted) return
        for await (const page of store.pages(tables.installations, address)) {
          const keys = page.map(({ value }) => joinKey(value.address, value.installationId))
          await commit(store, { writes: keys.map((key) => remove(tables.installations, key)) })
        }
        const waiting = this.#pending.of(address).map(({ number }) => number)
        if (waiting.length > 0) await commit(store, this.#pending.removalChange(waiting))
        this.#accounts.forget(address)
        this.coverage.forget(address)
      }
    })
  }

  /** Time has passed: contracts' grants that waited for it may count now (section 3). */
  async reconsider(address: Address): Promise<void> {
    const isPending = ({ state }: KnownInstallation) => state === 'pending'
    if (![...(await this.account(address)).values()].some(isPending)) return
    await this.#mutex.runExclusive(async () => {
      const changes = new AccountChanges(this.#context.time.passedNs())
      const account = changes.of(address, await this.account(address))
      const { usable } = changes.apply(account, [])
      if (usable.length === 0) return
      changes.gained.push(...usable)
      await this.#save(changes, { writes: [] })
    })
  }

  /** Keeps our account's revocations, to republish them at a node that lacks them (section 10). */
  #ownRevocationWrites(address: Address, message: Uint8Array): readonly Write[] {
    if (address !== this.#context.account.address) return []
    const number = this.#context.store.nextNumber(tables.revocations)
    return [put(tables.revocations, number, { message })]
  }

  /** Commits the changes and the messages deferred for newly usable installations, then reports. */
  async #save(changes: AccountChanges, more: Change): Promise<void> {
    const decided = [...changes.accounts].flatMap(([address, account]) =>
      this.#pending.done(address, account, isMoot),
    )
    const told = changes.news.map(
      ({ installation, gained }): InstallationEvent => ({
        kind: gained ? 'installation-added' : 'installation-revoked',
        installation: this.describe(installation),
      }),
    )
    const own = formatAddress(this.#context.account.address)
    const ofOwn = told.filter(({ installation }) => installation.address === own)
    const change = joinChanges(
      more,
      newsChange(this.#context, ofOwn),
      changes.recordsChange((address, account) => this.#accounts.remember(address, account)),
      this.#revokedLately.additionChange(changes.accounts),
      this.#pending.removalChange(decided),
    )
    const save = (deferred: Change) => commit(this.#context.store, joinChanges(change, deferred))
    if (changes.gained.length > 0) await this.#listener.gained(changes.gained, save)
    else await save({ writes: [] })
    for (const event of told) this.#context.emit(event)
    // Also when the same bundle came again: at a restored node it means that the installation is
    // back.
    for (const address of changes.accounts.keys()) this.#listener.onChange(address)
  }

  /** An installation as the application sees it. */
  describe(installation: KnownInstallation): Installation {
    return describeInstallation(installation, this.#context.account.installationId)
  }
}
