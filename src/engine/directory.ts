/**
 * Who has which installations: built from contact and revoked topics, every signature checked here,
 * as a node is not trusted (docs/protocol.md sections 3 and 8). An account is covered while its two
 * topics are in the live subscription; any other is queried when it matters.
 */

import type { NodeEnvelope } from '../network/network.ts'
import { encodeBase64 } from '../protocol/bytes.ts'
import { parseContactBundle, sealingKeySignature, verifyGrant } from '../protocol/contact.ts'
import { nextHead } from '../protocol/heads.ts'
import {
  type Address,
  digestEnvelope,
  formatAddress,
  type IdentityKeys,
  type InstallationId,
} from '../protocol/ids.ts'
import { parseRevocation, verifyRevocation } from '../protocol/revocation.ts'
import { contactTopic, parseTopic, revokedTopic } from '../protocol/topics.ts'
import type { Write } from '../store/store.ts'
import { joinKey, put, tables } from '../store/tables.ts'
import type { Context } from './context.ts'
import type { Cursors, Position } from './cursors.ts'
import type { Installation } from './model.ts'
import { nsToMs } from './node-time.ts'
import { Serial } from './serial.ts'

/** A subscription counts as live while its last frame is under this old (section 8). */
const coverageMs = 60_000
/** Accounts in memory; others are read from the store again. */
const maxAccounts = 2_000
/** Addresses of one query: two topics each, at most 1,000 topics. */
const addressesPerQuery = 500

export interface KnownInstallation {
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  /** Empty until a valid bundle was seen: a revocation may come first. */
  readonly sealingKey: Uint8Array
  readonly sealingCreatedNs: bigint
  readonly firstSeenNs: bigint
  /** 0 while not revoked. */
  readonly revokedNs: bigint
  /** This client was live past its revocation. */
  readonly isPast: boolean
  readonly state: 'valid' | 'unverified' | 'unknown'
}

type KnownAccount = ReadonlyMap<InstallationId, KnownInstallation>

const stateNumbers = { unknown: 0, valid: 1, unverified: 2 } as const
const stateNames = ['unknown', 'valid', 'unverified'] as const

export class Directory {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #accounts = new Map<Address, KnownAccount>()
  readonly #serial = new Serial()
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

  constructor(context: Context, cursors: Cursors) {
    this.#context = context
    this.#cursors = cursors
  }

  /** Whose topics the running subscription carries; not caught up yet. */
  follow(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.#isCaughtUp = false
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
    return this.#serial.run(async () => {
      const past: KnownInstallation[] = []
      for (const address of this.#followed) {
        for (const installation of (await this.account(address)).values()) {
          if (installation.revokedNs > 0n && !installation.isPast) {
            past.push({ ...installation, isPast: true })
          }
        }
      }
      if (past.length === 0) return
      await this.#context.store.advance([], () => ({
        writes: past.map((one) => write(joinKey(one.address, one.id), one)),
        result: undefined,
      }))
      for (const one of past) {
        this.#remember(one.address, new Map([...(await this.account(one.address)), [one.id, one]]))
      }
    })
  }

  /** The subscription said something. */
  heardFrame(): void {
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
    const account = new Map<InstallationId, KnownInstallation>()
    for (const { value } of rows) {
      const installation: KnownInstallation = {
        address,
        id: value.installationId as InstallationId,
        keys: { curve25519: value.curve25519, ed25519: value.ed25519 },
        sealingKey: value.sealingKey,
        sealingCreatedNs: value.sealingCreatedNs,
        firstSeenNs: value.firstSeenNs,
        revokedNs: value.revokedNs,
        isPast: value.isPast,
        state: stateNames[value.state] ?? 'unknown',
      }
      account.set(installation.id, installation)
    }
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
  }

  /** Asks the node whether or not the accounts are covered. */
  async reread(address: Address): Promise<void> {
    await this.#query([address])
  }

  async #query(addresses: readonly Address[]): Promise<void> {
    const { network, closing } = this.#context
    const topics = addresses.flatMap((address) => [contactTopic(address), revokedTopic(address)])
    const { nodeId } = this.#cursors
    for (let hasMore = true; hasMore; ) {
      const positions = await Promise.all(
        topics.map(async (topic) => ({ topic, afterSequence: await this.#cursors.load(topic) })),
      )
      const page = await network.query(positions, closing)
      // What another node answered is not counted as this one's.
      if (this.#cursors.nodeId !== nodeId) return this.#query(addresses)
      const isNews = await this.apply(page.envelopes)
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
    return this.#serial.run(() => this.#apply(envelopes))
  }

  async #apply(envelopes: readonly NodeEnvelope[]): Promise<boolean> {
    const { nodeId } = this.#cursors
    const changed = new Map<Address, Map<InstallationId, KnownInstallation>>()
    const touched = new Map<string, KnownInstallation>()
    const positions = new Map<string, Position>()
    const writes: Write[] = []
    const news: { readonly installation: KnownInstallation; readonly gained: boolean }[] = []

    for (const envelope of envelopes) {
      const topic = parseTopic(envelope.topic)
      if (!topic.ok || (topic.value.kind !== 'contact' && topic.value.kind !== 'revoked')) continue
      const { address, kind } = topic.value
      const position =
        positions.get(envelope.topic) ?? (await this.#cursors.position(envelope.topic))
      if (envelope.sequence <= position.sequence) continue
      if (position.sequence > 0n) writes.push(this.#cursors.writeEarlier(envelope.topic, position))
      positions.set(envelope.topic, {
        sequence: envelope.sequence,
        head: nextHead(position.head, digestEnvelope(envelope.message)),
      })
      const account = changed.get(address) ?? new Map(await this.account(address))
      changed.set(address, account)
      const wasKnown = position.sequence > 0n || this.#read.has(address)
      const updates =
        kind === 'contact'
          ? this.#readBundle(address, envelope, account)
          : readRevocation(address, envelope, account)
      if (kind === 'revoked' && address === this.#context.account.address && updates.length > 0) {
        const number = this.#context.store.nextNumber(tables.revocations)
        writes.push(put(tables.revocations, number, { message: envelope.message }))
      }
      for (const installation of updates) {
        const before = account.get(installation.id)
        account.set(installation.id, installation)
        touched.set(joinKey(address, installation.id), installation)
        const usableBefore = before !== undefined && isUsable(before)
        if (usableBefore !== isUsable(installation) && wasKnown) {
          news.push({ installation, gained: isUsable(installation) })
        }
      }
    }
    // What was read of one node is no position at another.
    if (positions.size === 0 || this.#cursors.nodeId !== nodeId) return false

    for (const [key, installation] of touched) writes.push(write(key, installation))
    for (const [topic, { sequence, head }] of positions) {
      writes.push(this.#cursors.write(topic, sequence, head))
    }
    const commit = async (more: readonly Write[]) => {
      await this.#context.store.advance([], () => ({
        writes: [...writes, ...more],
        result: undefined,
      }))
      for (const [topic, { sequence, head }] of positions) {
        if (this.#cursors.nodeId === nodeId) this.#cursors.committed(topic, sequence, head)
      }
      for (const [address, account] of changed) this.#remember(address, account)
    }
    const gained = news.filter((one) => one.gained).map(({ installation }) => installation)
    if (gained.length > 0) await this.gaining(gained, commit)
    else await commit([])
    for (const { installation, gained } of news) {
      this.#context.emit({
        kind: gained ? 'installation-added' : 'installation-revoked',
        installation: this.describe(installation),
      })
    }
    for (const address of new Set([...touched.values()].map(({ address }) => address))) {
      this.onChange(address)
    }
    return true
  }

  #readBundle(
    address: Address,
    envelope: NodeEnvelope,
    account: KnownAccount,
  ): readonly KnownInstallation[] {
    const bundle = parseContactBundle(envelope.message)
    if (!bundle.ok || bundle.value.address !== address) return []
    const { installationId, keys, sealingKey, signature } = bundle.value
    const known = account.get(installationId)
    // The greatest created_ns wins and clients never go back (section 9).
    if (known && known.state !== 'unknown' && sealingKey.createdNs <= known.sealingCreatedNs) {
      return []
    }
    const [sealed] = this.#context.crypto.verify([sealingKeySignature(bundle.value)])
    if (!sealed) return []
    // A contract account's signature can only be checked by asking its chain: not usable yet.
    if (signature.kind === 'eip191' && !verifyGrant(bundle.value).ok) return []
    return [
      {
        address,
        id: installationId,
        keys,
        sealingKey: sealingKey.key,
        sealingCreatedNs: sealingKey.createdNs,
        firstSeenNs: known && known.firstSeenNs > 0n ? known.firstSeenNs : envelope.nodeNs,
        revokedNs: known?.revokedNs ?? 0n,
        isPast: known?.isPast ?? false,
        state: signature.kind === 'eip191' ? 'valid' : 'unverified',
      },
    ]
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

export const isUsable = (installation: KnownInstallation): boolean =>
  installation.state === 'valid' && installation.revokedNs === 0n

/** A revocation holds for installations that were never granted too (section 3). */
const readRevocation = (
  address: Address,
  envelope: NodeEnvelope,
  account: KnownAccount,
): readonly KnownInstallation[] => {
  const revocation = parseRevocation(envelope.message)
  if (!revocation.ok || revocation.value.address !== address) return []
  if (!verifyRevocation(revocation.value).ok) return []
  return revocation.value.installationIds.flatMap((id, at) => {
    const keys = revocation.value.installations[at]
    const known = account.get(id)
    if (!keys || (known && known.revokedNs > 0n)) return []
    return [
      {
        ...(known ?? {
          address,
          id,
          keys,
          sealingKey: new Uint8Array(),
          sealingCreatedNs: 0n,
          firstSeenNs: 0n,
          state: 'unknown' as const,
        }),
        revokedNs: envelope.nodeNs,
        isPast: false,
      },
    ]
  })
}

const write = (key: string, installation: KnownInstallation): Write =>
  put(tables.installations, key, {
    address: installation.address,
    installationId: installation.id,
    curve25519: installation.keys.curve25519,
    ed25519: installation.keys.ed25519,
    sealingKey: installation.sealingKey,
    sealingCreatedNs: installation.sealingCreatedNs,
    firstSeenNs: installation.firstSeenNs,
    revokedNs: installation.revokedNs,
    isPast: installation.isPast,
    state: stateNumbers[installation.state],
  })
