/**
 * The state of a transaction as publishing sees it, in memory: loaded under its locks and changed
 * since. Nothing reaches the database until all requests are decided.
 */

import { type AccountSigners, afterSigning } from '../../../../src/protocol/account-rules.ts'
import { sealingKeyWindowNs } from '../../../../src/protocol/limits.ts'
import type { SignedPrekey } from '../../../../src/protocol/prekey.ts'
import type { KnownInstallation } from '../../rules/state.ts'
import type { Effect, WalletKind } from '../../rules/verdict.ts'
import type { AcceptedEnvelope, Ledger } from '../publishing.ts'
import type { Receipt } from '../store.ts'

/** A topic's latest numbers; both 0 if it never had an envelope. */
export interface TopicState {
  readonly id: bigint
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export interface Counts {
  readonly granted: number
  readonly unrevoked: number
}

/** Changes of an installation's prekeys. */
export interface StockChange {
  readonly dropsOneTime: boolean
  readonly dropsFallback: boolean
  readonly added: readonly { readonly prekey: SignedPrekey; readonly storedNs: bigint }[]
}

/** What a batch of requests may ask about. A missing row is undefined or absent. */
export interface LoadedState {
  readonly topics: Map<string, TopicState>
  /** By `receiptKey`. */
  readonly receipts: Map<string, Receipt>
  readonly installations: Map<string, KnownInstallation | undefined>
  readonly accounts: Map<string, AccountSigners>
  /** By `pairKey` of address and installation. */
  readonly revocations: Map<string, boolean>
  readonly counts: Map<string, Counts>
  /** Node times of accepted bundles, by installation. */
  readonly bundles: Map<string, readonly bigint[]>
  /** One-time prekeys that may still be given out, by installation. */
  readonly stocks: Map<string, number>
}

export const emptyState = (): LoadedState => ({
  topics: new Map(),
  receipts: new Map(),
  installations: new Map(),
  accounts: new Map(),
  revocations: new Map(),
  counts: new Map(),
  bundles: new Map(),
  stocks: new Map(),
})

export const receiptKey = (topic: string, digest: Uint8Array): string =>
  `${topic} ${Buffer.from(digest).toString('base64')}`

export const pairKey = (address: string, installationId: string): string =>
  `${address} ${installationId}`

export interface NewRow {
  readonly topic: string
  readonly sequence: bigint
  readonly nodeNs: bigint
  readonly size: number
  readonly digest: Uint8Array
  /** Absent for uploads, of which only the digest is kept. */
  readonly message: Uint8Array | undefined
}

export class LoadedLedger implements Ledger {
  readonly #state: LoadedState
  readonly #undo: (() => void)[] = []
  readonly rows: NewRow[] = []
  readonly changedAccounts = new Map<string, AccountSigners>()
  readonly changedInstallations = new Map<string, KnownInstallation>()
  readonly newBundles: {
    readonly installation: string
    readonly sequence: bigint
    readonly nodeNs: bigint
  }[] = []
  readonly newRevocations = new Map<string, { readonly address: string; readonly id: string }>()
  readonly stockChanges = new Map<string, StockChange>()

  constructor(state: LoadedState) {
    this.#state = state
  }

  receipt(topic: string, digest: Uint8Array): Receipt | undefined {
    return this.#state.receipts.get(receiptKey(topic, digest))
  }

  latestNs(topic: string): bigint {
    return this.#state.topics.get(topic)?.nodeNs ?? 0n
  }

  installation(installationId: string): KnownInstallation | undefined {
    return loaded(this.#state.installations, installationId)
  }

  signers(address: string): AccountSigners {
    return loaded(this.#state.accounts, address)
  }

  isRevoked(address: string, installationId: string): boolean {
    return loaded(this.#state.revocations, pairKey(address, installationId))
  }

  countInstallations(address: string): Counts {
    return loaded(this.#state.counts, address)
  }

  countBundlesAfter(installationId: string, nodeNs: bigint): number {
    return loaded(this.#state.bundles, installationId).filter((at) => at > nodeNs).length
  }

  countOneTime(installationId: string): number {
    return loaded(this.#state.stocks, installationId)
  }

  /** The newest `node_ns` of these changes; 0 if there are none. */
  get newestNs(): bigint {
    return this.rows.reduce((newest, { nodeNs }) => (nodeNs > newest ? nodeNs : newest), 0n)
  }

  append({ topic, message, digest, nodeNs, effect }: AcceptedEnvelope): bigint {
    const known = loaded(this.#state.topics, topic)
    const sequence = known.sequence + 1n
    this.#set(this.#state.topics, topic, { id: known.id, sequence, nodeNs })
    this.#set(this.#state.receipts, receiptKey(topic, digest), { sequence, nodeNs, fresh: false })
    const kept = effect.kind === 'upload' ? undefined : message
    this.#push(this.rows, { topic, sequence, nodeNs, size: message.length, digest, message: kept })
    if (effect.kind === 'grant') this.#grant(effect, sequence, nodeNs)
    else if (effect.kind === 'revoke') this.#revoke(effect)
    else if (effect.kind === 'vouch') this.#vouch(effect)
    else if (effect.kind === 'upload') this.#upload(effect, nodeNs)
    return sequence
  }

  attempt(step: () => boolean): void {
    this.#undo.length = 0
    if (step()) return
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo()
  }

  #grant(effect: Extract<Effect, { kind: 'grant' }>, sequence: bigint, nodeNs: bigint): void {
    const { installationId, address, keys, wallet, sealingCreatedNs } = effect
    this.#keepWallet(address, wallet)
    const known = this.installation(installationId)
    if (known === undefined) {
      const { granted, unrevoked } = this.countInstallations(address)
      this.#set(this.#state.counts, address, { granted: granted + 1, unrevoked: unrevoked + 1 })
    }
    this.#setInstallation(installationId, {
      address,
      ed25519: keys.ed25519,
      revoked: false,
      vouched: known?.vouched ?? false,
      newestUploadNs: known?.newestUploadNs,
      sealingCreatedNs,
    })
    const recent = loaded(this.#state.bundles, installationId)
    const windowStartNs = nodeNs - sealingKeyWindowNs
    this.#set(this.#state.bundles, installationId, [
      ...recent.filter((at) => at > windowStartNs),
      nodeNs,
    ])
    this.#push(this.newBundles, { installation: installationId, sequence, nodeNs })
  }

  #revoke({ address, installationIds, wallet }: Extract<Effect, { kind: 'revoke' }>): void {
    this.#keepWallet(address, wallet)
    for (const id of installationIds) {
      const key = pairKey(address, id)
      this.#set(this.#state.revocations, key, true)
      this.#set(this.newRevocations, key, { address, id })
      const known = this.installation(id)
      // Section 3: a revocation concerns this account's bundles only, even if another has the same
      // id.
      if (known === undefined || known.address !== address || known.revoked) continue
      this.#setInstallation(id, { ...known, revoked: true })
      const { granted, unrevoked } = this.countInstallations(address)
      this.#set(this.#state.counts, address, { granted, unrevoked: unrevoked - 1 })
      // Nobody can use the keys of a revoked installation.
      this.#set(this.stockChanges, id, { dropsOneTime: true, dropsFallback: true, added: [] })
      this.#set(this.#state.stocks, id, 0)
    }
  }

  #upload(effect: Extract<Effect, { kind: 'upload' }>, nodeNs: bigint): void {
    const { installationId, createdNs, oneTime, fallback, replace } = effect
    const known = this.installation(installationId)
    if (known === undefined) throw new Error('an upload of an unknown installation')
    this.#setInstallation(installationId, { ...known, newestUploadNs: createdNs })
    const before = this.stockChanges.get(installationId) ?? unchanged
    const stays = before.added.filter(({ prekey }) =>
      prekey.kind === 'fallback' ? fallback === undefined : !replace,
    )
    const uploaded = [...oneTime, ...(fallback === undefined ? [] : [fallback])]
    this.#set(this.stockChanges, installationId, {
      dropsOneTime: before.dropsOneTime || replace,
      dropsFallback: before.dropsFallback || fallback !== undefined,
      added: [...stays, ...uploaded.map((prekey) => ({ prekey, storedNs: nodeNs }))],
    })
    const inStock = replace ? 0 : this.countOneTime(installationId)
    this.#set(this.#state.stocks, installationId, inStock + oneTime.length)
  }

  #vouch({ installationId }: Extract<Effect, { kind: 'vouch' }>): void {
    const known = this.installation(installationId)
    if (known === undefined) throw new Error('a vouch for an unknown installation')
    this.#setInstallation(installationId, { ...known, vouched: true })
  }

  #keepWallet(address: string, wallet: WalletKind): void {
    const before = this.signers(address)
    const chainId = wallet.kind === 'erc1271' ? wallet.chainId : undefined
    const after = afterSigning(before, { kind: wallet.kind, chainId })
    if (after.isKeyed === before.isKeyed && after.chainId === before.chainId) return
    this.#set(this.#state.accounts, address, after)
    this.#set(this.changedAccounts, address, after)
  }

  #setInstallation(id: string, installation: KnownInstallation): void {
    this.#set(this.#state.installations, id, installation)
    this.#set(this.changedInstallations, id, installation)
  }

  #set<V>(map: Map<string, V>, key: string, value: V): void {
    const before = map.get(key)
    const was = map.has(key)
    this.#undo.push(() => {
      // `was` says that `before` is a value of the map, even if undefined.
      if (was) map.set(key, before as V)
      else map.delete(key)
    })
    map.set(key, value)
  }

  #push<T>(list: T[], item: T): void {
    this.#undo.push(() => list.pop())
    list.push(item)
  }
}

const unchanged: StockChange = { dropsOneTime: false, dropsFallback: false, added: [] }

/** A request needs state that was not loaded. */
export class MissingState extends Error {
  override readonly name = 'MissingState'
}

/** State that was not loaded may still exist: deciding without it would be a guess. */
function loaded<V>(map: ReadonlyMap<string, V>, key: string): V {
  const value = map.get(key)
  if (value === undefined && !map.has(key))
    throw new MissingState('a request needs state that was not loaded')
  // Absent values are stored as such; the check above rules out missing keys.
  return value as V
}
