/** Converts installations to store records and back, and to what applications see. */

import { encodeBase64 } from '../../protocol/bytes.ts'
import { type Address, formatAddress, type InstallationId } from '../../protocol/ids.ts'
import type { Write } from '../../store/store.ts'
import { type InstallationRecord, joinKey, put, tables } from '../../store/tables.ts'
import type { Installation } from '../model.ts'
import { nsToMs } from '../runtime/node-time.ts'
import { changedStates, type KnownInstallation } from './known-installations.ts'

/** Of grants alone: `pending` is worked out. */
const stateNumbers = { unknown: 0, valid: 1, unverified: 2, pending: 2 } as const
const stateNames = ['unknown', 'valid', 'unverified'] as const

/** Builds the installations of an account from their records. */
export const fromRecords = (
  address: Address,
  records: readonly InstallationRecord[],
  passedNs: bigint,
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
      isDelegated: value.isDelegated,
      vouches: value.vouches.map(({ by, nodeNs }) => ({ by: by as InstallationId, nodeNs })),
      chainId: value.chainId,
      revokedChainId: value.revokedChainId,
      contestedBy: value.contestedBy,
      state: grant,
    })
  }
  for (const installation of changedStates(account, passedNs))
    account.set(installation.id, installation)
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
    isDelegated: installation.isDelegated,
    vouches: installation.vouches.map((vouch) => ({
      $typeName: 'padlock.store.v1.VouchRecord' as const,
      ...vouch,
    })),
    chainId: installation.chainId,
    revokedChainId: installation.revokedChainId,
    contestedBy: [...installation.contestedBy],
  })

/** @param own the id of this client's installation; undefined without a client */
export const describeInstallation = (
  installation: KnownInstallation,
  own: InstallationId | undefined,
): Installation => ({
  id: installation.id,
  address: formatAddress(installation.address),
  isThis: installation.id === own,
  keys: {
    curve25519: encodeBase64(installation.keys.curve25519),
    ed25519: encodeBase64(installation.keys.ed25519),
  },
  createdAtMs: nsToMs(installation.firstSeenNs),
  state:
    installation.revokedNs > 0n
      ? 'revoked'
      : installation.state === 'valid' || installation.state === 'pending'
        ? installation.state
        : 'unverified',
})
