/**
 * Who has which installations: built from contact and revoked topics, every signature checked here,
 * as a node is not trusted (docs/protocol.md sections 3 and 8). An account is covered while its two
 * topics are in the live subscription; any other is queried when it matters.
 */

import { PadlockError } from '../../errors.ts'
import type { NodeEnvelope } from '../../network/network.ts'
import { encodeBase64 } from '../../protocol/bytes.ts'
import { nextHead } from '../../protocol/heads.ts'
import { type Address, digestEnvelope, formatAddress } from '../../protocol/ids.ts'
import { contactTopic, parseTopic, revokedTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
import type { Installation } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors, Position } from '../runtime/cursors.ts'
import { Mutex } from '../runtime/mutex.ts'
import { nsToMs } from '../runtime/node-time.ts'
import { AccountChanges } from './account-changes.ts'
import {
  confirm,
  fromRecords,
  installationWrite,
  isMoot,
  isUsable,
  type KnownAccount,
  type KnownInstallation,
  parseContractStatement,
  readBundle,
  readRevocation,
} from './known-installations.ts'
import type { NewVerification, PendingVerifications } from './pending-verification.ts'

/** A subscription counts as live while its last frame is under this old (section 8). */
const coverageMs = 60_000
/** Accounts in memory; others are read from the store again. */
const maxAccounts = 2_000
/** Addresses of one query: two topics each, at most 1,000 topics. */
const addressesPerQuery = 500
/** Pages of one look-up; what is read stays read, so the next look-up goes on from there. */
const maxPages = 100

export type { KnownInstallation } from './known-installations.ts'

export class Directory {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #questions: PendingVerifications
  readonly #accounts = new Map<Address, KnownAccount>()
  readonly #serial = new Mutex()
  #followed: ReadonlySet<Address> = new Set()
  #isCaughtUp = false
  /** Whose topics were read to the end: what comes after that is news. */
  readonly #read = new Set<Address>()
  #lastFrameMs = 0
  /** Called when an account gained or lost an installation. */
  onChange: (address: Address) => void = () => undefined
  /** Commits that these may be written to from now on, together with what is owed to them. */
  gaining: (
    installations: readonly KnownInstallation[],
    commit: (more: readonly Write[]) => Promise<void>,
  ) => Promise<void> = (_, commit) => commit([])

  /** Chains are asked about these now; resolves soon, whether or not they answer. */
  settling: (addresses: readonly Address[]) => Promise<void> = async () => undefined
  /** Something came from these. */
  onNeed: (addresses: readonly Address[]) => void = () => undefined
  /** A chain has to be asked about what was read. */
  onQuestion: () => void = () => undefined

  constructor(context: Context, cursors: Cursors, questions: PendingVerifications) {
    this.#context = context
    this.#cursors = cursors
    this.#questions = questions
  }

  /** Whose topics the running subscription carries; not caught up yet. */
  follow(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.#isCaughtUp = false
  }

  /** More topics are carried now, and caught up with. */
  extend(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.caughtUp()
  }

  /** The subscription has brought everything that there was. */
  caughtUp(): void {
    this.#isCaughtUp = true
    for (const address of this.#followed) this.#read.add(address)
  }

  /**
   * To be called when all that came before is processed: whoever was revoked by now gets nothing in any
   * more, whatever time the node gives it (section 8, step 3).
   */
  rememberRevoked(): Promise<void> {
    return this.#serial.runExclusive(async () => {
      const past: KnownInstallation[] = []
      for (const address of this.#followed) {
        for (const installation of (await this.account(address)).values()) {
          if (installation.revokedNs > 0n && !installation.isPast) {
            past.push({ ...installation, isPast: true })
          }
        }
      }
      if (past.length === 0) return
      await this.#context.store.transaction([], () => ({
        writes: past.map(installationWrite),
        result: undefined,
      }))
      for (const one of past) {
        this.#remember(one.address, new Map([...(await this.account(one.address)), [one.id, one]]))
      }
    })
  }

  /** The subscription said something. */
  onFrame(): void {
    this.#lastFrameMs = this.#context.platform.monotonicMs()
  }

  /**
   * Whether the subscription has told all there was of an account before it tells of an envelope that
   * the node received later: its frames are in order of node time, so this holds from its start.
   */
  isFollowed(address: Address): boolean {
    return this.#followed.has(address)
  }

  /** Whether what is known of an account is what the node has now: enough to send by. */
  isCovered(address: Address): boolean {
    return (
      this.#isCaughtUp &&
      this.#followed.has(address) &&
      this.#context.platform.monotonicMs() - this.#lastFrameMs < coverageMs
    )
  }

  /** All that is known of an account, revoked installations included. */
  async account(address: Address): Promise<KnownAccount> {
    const known = this.#accounts.get(address)
    if (known) return known
    const rows = await this.#context.store.list(tables.installations, {
      group: address,
      limit: 2_000,
    })
    const account = fromRecords(
      address,
      rows.map(({ value }) => value),
    )
    const now = this.#accounts.get(address)
    return now ?? this.#remember(address, account)
  }

  /** Installations that messages may be encrypted to, this one left out. */
  async recipients(address: Address): Promise<readonly KnownInstallation[]> {
    const account = await this.account(address)
    return [...account.values()].filter(
      (installation) =>
        isUsable(installation) && installation.id !== this.#context.account.installationId,
    )
  }

  /** Asks the node about those accounts that the subscription does not cover. */
  async refresh(addresses: readonly Address[]): Promise<void> {
    const uncovered = addresses.filter((address) => !this.isCovered(address))
    for (let at = 0; at < uncovered.length; at += addressesPerQuery) {
      await this.#query(uncovered.slice(at, at + addressesPerQuery))
    }
    await this.settling(addresses)
  }

  /** Asks the node whether or not the accounts are covered. */
  async reread(address: Address): Promise<void> {
    await this.#query([address])
  }

  async #query(addresses: readonly Address[]): Promise<void> {
    const { network, closing } = this.#context
    const topics = addresses.flatMap((address) => [contactTopic(address), revokedTopic(address)])
    const asked = new Set<string>(topics)
    const { nodeId } = this.#cursors
    for (let hasMore = true, pages = 0; hasMore; pages += 1) {
      // Nor does one that always has something new keep us here.
      if (pages === maxPages) throw new PadlockError('bad_response')
      const positions = await Promise.all(
        topics.map(async (topic) => ({ topic, afterSequence: await this.#cursors.load(topic) })),
      )
      const page = await network.query(positions, closing)
      // What another node answered is not counted as this one's.
      if (this.#cursors.nodeId !== nodeId) return this.#query(addresses)
      // What nobody asked for could fill the store with accounts that nobody knows.
      const isNews = await this.apply(page.envelopes.filter(({ topic }) => asked.has(topic)))
      // A node that promises more and sends nothing new would keep us here for ever.
      hasMore = page.hasMore && isNews
    }
    if (this.#read.size > maxAccounts) this.#read.clear()
    for (const address of addresses) this.#read.add(address)
  }

  /**
   * Takes envelopes of contact and revoked topics, in order; those seen before are skipped.
   *
   * @returns whether any was new
   */
  apply(envelopes: readonly NodeEnvelope[]): Promise<boolean> {
    return this.#serial.runExclusive(() => this.#apply(envelopes))
  }

  async #apply(envelopes: readonly NodeEnvelope[]): Promise<boolean> {
    const { nodeId } = this.#cursors
    const changes = new AccountChanges()
    const positions = new Map<string, Position>()
    const writes: Write[] = []
    const asked: NewVerification[] = []

    for (const envelope of envelopes) {
      const topic = parseTopic(envelope.topic)
      if (!topic.ok || (topic.value.kind !== 'contact' && topic.value.kind !== 'revoked')) continue
      const { address, kind } = topic.value
      const position =
        positions.get(envelope.topic) ?? (await this.#cursors.position(envelope.topic))
      if (envelope.sequence <= position.sequence) continue
      // These topics are kept for ever: what is missing is withheld (section 5).
      const missing = envelope.sequence - position.sequence - 1n
      if (missing > 0n) this.#context.status.warn('gap', Number(missing))
      if (position.sequence > 0n) writes.push(this.#cursors.writeEarlier(envelope.topic, position))
      positions.set(envelope.topic, {
        sequence: envelope.sequence,
        head: nextHead(position.head, digestEnvelope(envelope.message)),
      })
      const before = await this.account(address)
      const account = changes.of(address, before)
      // At another node every position is 0 again, and what is new there is news all the same.
      const wasKnown = position.sequence > 0n || this.#read.has(address) || before.size > 0
      const { message, nodeNs } = envelope
      const isGrant = kind === 'contact'
      const { updates, asks } = isGrant
        ? readBundle(this.#context.crypto, address, message, nodeNs, account)
        : readRevocation(address, message, nodeNs, account)
      if (asks) asked.push({ address, message, nodeNs, isGrant, isNews: wasKnown })
      else if (!isGrant && updates.length > 0) writes.push(...this.#keepOwn(address, message))
      const { news, usable } = changes.take(account, updates)
      if (!wasKnown) continue
      changes.news.push(...news)
      changes.gained.push(...usable)
    }
    // What was read of one node is no position at another.
    if (positions.size === 0 || this.#cursors.nodeId !== nodeId) return false

    for (const [topic, { sequence, head }] of positions) {
      writes.push(this.#cursors.write(topic, sequence, head))
    }
    const questions = this.#questions.plan(asked, (address, question) =>
      isMoot(changes.accounts.get(address) ?? new Map(), question),
    )
    await this.#save(changes, [...writes, ...questions.writes], () => {
      for (const [topic, { sequence, head }] of positions) {
        if (this.#cursors.nodeId === nodeId) this.#cursors.committed(topic, sequence, head)
      }
      this.#questions.committed(questions.kept)
    })
    if (questions.kept.length > 0) this.onQuestion()
    return true
  }

  /** The chain of a contract account confirmed a question. */
  confirm(number: number): Promise<void> {
    return this.#serial.runExclusive(async () => {
      const record = await this.#questions.read(number)
      const kept = this.#questions.get(number)
      const question =
        record && kept && parseContractStatement(record.message, kept.kind === 'grant')
      if (!question) return
      const { address } = kept
      const changes = new AccountChanges()
      const account = changes.of(address, await this.account(address))
      const { news, usable } = changes.take(account, confirm(question, record.nodeNs, account))
      // When an account was first read, which of its devices could be written to was not known yet.
      if (record.isNews) changes.news.push(...news)
      // To others of the account something may have gone meanwhile.
      changes.gained.push(...usable)
      const own = kept.kind === 'revocation' ? this.#keepOwn(address, record.message) : []
      await this.#save(changes, [...own, ...this.#questions.removalWrites([number])], () =>
        this.#questions.removed([number]),
      )
    })
  }

  /** Revocations of the own account go to a node that does not have them (section 10). */
  #keepOwn(address: Address, message: Uint8Array): readonly Write[] {
    if (address !== this.#context.account.address) return []
    const number = this.#context.store.nextNumber(tables.revocations)
    return [put(tables.revocations, number, { message })]
  }

  /** Commits changes, together with what is owed to those who may be written to now, and tells of them. */
  async #save(
    changes: AccountChanges,
    writes: readonly Write[],
    committed: () => void,
  ): Promise<void> {
    const done = [...changes.accounts].flatMap(([address, account]) =>
      this.#questions.done(address, account, isMoot),
    )
    const commit = async (more: readonly Write[]) => {
      await this.#context.store.transaction([], () => ({
        writes: [...writes, ...changes.writes(), ...this.#questions.removalWrites(done), ...more],
        result: undefined,
      }))
      committed()
      this.#questions.removed(done)
      for (const [address, account] of changes.accounts) this.#remember(address, account)
    }
    if (changes.gained.length > 0) await this.gaining(changes.gained, commit)
    else await commit([])
    for (const { installation, gained } of changes.news) {
      this.#context.emit({
        kind: gained ? 'installation-added' : 'installation-revoked',
        installation: this.describe(installation),
      })
    }
    // Also when the same bundle came again: at a restored node it says that someone is back.
    for (const address of changes.accounts.keys()) this.onChange(address)
  }

  #remember(address: Address, account: KnownAccount): KnownAccount {
    this.#accounts.delete(address)
    const [oldest] = this.#accounts.keys()
    if (oldest !== undefined && this.#accounts.size >= maxAccounts) this.#accounts.delete(oldest)
    this.#accounts.set(address, account)
    return account
  }

  /** An installation as applications see it. */
  describe(installation: KnownInstallation): Installation {
    return {
      id: installation.id,
      address: formatAddress(installation.address),
      isThis: installation.id === this.#context.account.installationId,
      keys: {
        curve25519: encodeBase64(installation.keys.curve25519),
        ed25519: encodeBase64(installation.keys.ed25519),
      },
      createdAtMs: nsToMs(installation.firstSeenNs),
      state:
        installation.revokedNs > 0n
          ? 'revoked'
          : installation.state === 'valid'
            ? 'valid'
            : 'unverified',
    }
  }
}
