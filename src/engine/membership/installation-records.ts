/** Converts installations to store records and back. */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Write } from '../../store/store.ts'
import { type InstallationRecord, joinKey, put, tables } from '../../store/tables.ts'
import { changedStates, type KnownInstallation } from './known-installations.ts'

const stateNumbers = { unknown: 0, valid: 1, unverified: 2 } as const
const stateNames = ['unknown', 'valid', 'unverified'] as const

/** Builds the installations of an account from their records. */
export const fromRecords = (
  address: Address,
  records: readonly InstallationRecord[],
): Map<InstallationId, KnownInstallation> => {
  const account = new Map<InstallationId, KnownInstallation>()
  for (const value of records) {
    const id = value.installationId as InstallationId
    const grant = stateNames[value.state] ?? 'unknown'
    account.set(id, {
      address,
      id,
      keys: { curve25519: value.curve25519, ed25519: value.ed25519 },
      sealingKey: value.sealingKey,
      sealingCreatedNs: value.sealingCreatedNs,
      firstSeenNs: value.firstSeenNs,
      revokedNs: value.revokedNs,
      isPast: value.isPast,
      grant,
      chainId: value.chainId,
      revokedChainId: value.revokedChainId,
      contestedBy: value.contestedBy,
      state: grant,
    })
  }
  for (const installation of changedStates(account)) account.set(installation.id, installation)
  return account
}

export const installationWrite = (installation: KnownInstallation): Write =>
  put(tables.installations, joinKey(installation.address, installation.id), {
    address: installation.address,
    installationId: installation.id,
    curve25519: installation.keys.curve25519,
    ed25519: installation.keys.ed25519,
    sealingKey: installation.sealingKey,
    sealingCreatedNs: installation.sealingCreatedNs,
    firstSeenNs: installation.firstSeenNs,
    revokedNs: installation.revokedNs,
    isPast: installation.isPast,
    state: stateNumbers[installation.grant],
    chainId: installation.chainId,
    revokedChainId: installation.revokedChainId,
    contestedBy: [...installation.contestedBy],
  })
