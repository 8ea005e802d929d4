/**
 * What the rules need to know of what is stored, including earlier envelopes of the same request.
 * Synchronous: a store reads it inside the transaction that also writes, or beforehand under a lock.
 */
import type { AccountSigners } from '../../../src/protocol/account-rules.ts'
import type { SignatureStatus } from './signature-status.ts'

/** An installation that some contact topic names. */
export interface KnownInstallation {
  readonly address: string
  /** 32 bytes. */
  readonly ed25519: Uint8Array
  readonly revoked: boolean
  /** Whether another installation vouched for it. */
  readonly vouched: boolean
  /** The time inside its newest sealing key. */
  readonly sealingCreatedNs: bigint
  /** The time inside its newest prekey upload; absent if there was none. */
  readonly newestUploadNs: bigint | undefined
}

export interface RuleState {
  /** Absent: no contact topic names it. */
  installation(installationId: string): KnownInstallation | undefined
  /** Who signed the account's bundles and revocations so far. */
  signers(address: string): AccountSigners
  isRevoked(address: string, installationId: string): boolean
  /** How many installations the account ever granted, and how many of them are not revoked. */
  countInstallations(address: string): { readonly granted: number; readonly unrevoked: number }
  /** How many bundles of this installation were accepted after this node time. */
  countBundlesAfter(installationId: string, nodeNs: bigint): number
  /** How many one-time prekeys an installation has that are not too old to be given out. */
  countOneTime(installationId: string, nowNs: bigint): number
}

/** What else the rules depend on. */
export interface RuleContext {
  readonly nowNs: bigint
  /** Chains whose contract signatures this node can have checked. */
  readonly chainIds: readonly bigint[]
  /** What the chain said about this envelope's contract signature; absent if it was not asked. */
  readonly signatureStatus?: SignatureStatus | undefined
}
