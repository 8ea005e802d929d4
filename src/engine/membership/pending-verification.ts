/**
 * Grants and revocations of contract accounts that wait for their chain (docs/protocol.md section
 * 3): kept as published, bounded, until the chain confirms them or no chain can any more.
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import { type Address, digestEnvelope, type InstallationId } from '../../protocol/ids.ts'
import type { Row, Store, Write } from '../../store/store.ts'
import { put, remove, tables, type UnverifiedRecord } from '../../store/tables.ts'
import type { Change } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { type ContractStatementKind, parseContractStatement } from './contract-statements.ts'
import type { KnownAccount } from './known-installations.ts'

/** Bytes as published: about a thousand statements. A cheating node can make up any number. */
const maxBytesPerAccount = 1024 * 1024
const maxBytes = 16 * 1024 * 1024
/** Grants per installation: an honest one has one, or two after its sealing key was replaced. */
const maxGrants = 4

export interface PendingVerification extends ContractStatementKind {
  readonly number: number
  readonly address: Address
  /** The installation that it grants; undefined for a revocation. */
  readonly installationId: InstallationId | undefined
  readonly bytes: number
  readonly digest: string
}

/** A statement that a chain must confirm, and the envelope it came in. */
export interface NewVerification {
  readonly address: Address
  readonly message: Uint8Array
  readonly nodeNs: bigint
  readonly isGrant: boolean
  readonly isNews: boolean
}

export class PendingVerifications {
  readonly #store: Store
  readonly #kept = new Map<number, PendingVerification>()

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    for await (const row of scanAll(this.#store, tables.unverified)) {
      const pending = toPending(row)
      this.#kept.set(pending.number, pending)
    }
  }

  /** Oldest first. */
  all(): readonly PendingVerification[] {
    return [...this.#kept.values()]
  }

  of(address: Address): readonly PendingVerification[] {
    return this.all().filter((statement) => statement.address === address)
  }

  get(number: number): PendingVerification | undefined {
    return this.#kept.get(number)
  }

  /** The statement as published; undefined if it is no longer kept. */
  async read(number: number): Promise<UnverifiedRecord | undefined> {
    if (!this.#kept.has(number)) return undefined
    return (await this.#store.get(tables.unverified, number))?.value
  }

  /**
   * Adds statements, except those that already wait, exceed a limit, or can no longer be decided by
   * a chain. `count`: how many are new.
   */
  additionChange(
    news: readonly NewVerification[],
    isMoot: (address: Address, statement: ContractStatementKind) => boolean,
  ): Change & { readonly count: number } {
    const writes: Write[] = []
    const kept: PendingVerification[] = []
    const all = this.all().slice()
    for (const { address, message, nodeNs, isGrant, isNews } of news) {
      const statement = parseContractStatement(message, isGrant)
      if (!statement || isMoot(address, statement)) continue
      const installationId =
        statement.kind === 'grant' ? statement.bundle.installationId : undefined
      const number = this.#store.nextNumber(tables.unverified)
      const record = {
        message,
        address,
        chainId: statement.chainId,
        installationId: installationId ?? '',
        nodeNs,
        isNews,
      }
      const one = toPending({ value: record, number })
      if (!hasRoom(all, one)) continue
      all.push(one)
      kept.push(one)
      writes.push(put(tables.unverified, number, record))
    }
    return {
      writes,
      count: kept.length,
      committed: () => {
        for (const pending of kept) this.#kept.set(pending.number, pending)
      },
    }
  }

  /** The statements of an account that are answered, or that no chain can decide any more. */
  done(address: Address, account: KnownAccount, isMoot: IsMoot): readonly number[] {
    return this.of(address).flatMap((statement) => {
      const { number, installationId: id } = statement
      const grant = id === undefined ? undefined : account.get(id)?.grant
      return grant === 'valid' || isMoot(account, statement) ? [number] : []
    })
  }

  removalChange(numbers: readonly number[]): Change {
    return {
      writes: numbers.map((number) => remove(tables.unverified, number)),
      committed: () => {
        for (const number of numbers) this.#kept.delete(number)
      },
    }
  }
}

type IsMoot = (account: KnownAccount, statement: ContractStatementKind) => boolean

type StoredStatement = Pick<UnverifiedRecord, 'message' | 'address' | 'chainId' | 'installationId'>

const toPending = ({ value, number }: Row<StoredStatement>): PendingVerification => ({
  number,
  address: value.address as Address,
  chainId: value.chainId,
  kind: value.installationId === '' ? 'revocation' : 'grant',
  installationId:
    value.installationId === '' ? undefined : (value.installationId as InstallationId),
  bytes: value.message.length,
  digest: encodeBase64Url(digestEnvelope(value.message)),
})

const hasRoom = (all: readonly PendingVerification[], one: PendingVerification): boolean => {
  let total = one.bytes
  let ofAccount = one.bytes
  let grants = one.installationId === undefined ? 0 : 1
  for (const { address, bytes, digest, installationId } of all) {
    total += bytes
    if (address !== one.address) continue
    // A duplicate, from another node or read again.
    if (digest === one.digest) return false
    ofAccount += bytes
    if (installationId !== undefined && installationId === one.installationId) grants += 1
  }
  return total <= maxBytes && ofAccount <= maxBytesPerAccount && grants <= maxGrants
}
