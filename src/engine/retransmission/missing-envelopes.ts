/**
 * Envelopes that an installation sent and that could not be decrypted: when each is requested
 * (docs/protocol.md section 10), and how they are stored. Pure: times are arguments.
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import { hourMs, minuteMs } from '../../protocol/limits.ts'
import type { Fields, Write } from '../../store/store.ts'
import { put, type RecoveryRecord, remove, tables } from '../../store/tables.ts'

export const firstWaitMs = minuteMs
const secondWaitMs = hourMs
const maxAsks = 2

export interface Missing {
  readonly digest: Uint8Array
  /** The digest as text, as thousands are compared when much fails. */
  readonly name: string
  readonly nodeNs: bigint
  readonly failedMs: number
  readonly asks: number
  readonly askedMs: number
}

export interface Peer {
  readonly id: InstallationId
  readonly address: Address
  /** Whether its account was accepted: of others nothing is requested. */
  readonly isAccepted: boolean
  readonly missing: readonly Missing[]
}

export const newMissing = (digest: Uint8Array, nodeNs: bigint, failedMs: number): Missing => ({
  digest,
  name: encodeBase64Url(digest),
  nodeNs,
  failedMs,
  asks: 0,
  askedMs: 0,
})

export const readPeer = (record: Fields<RecoveryRecord>): Peer => ({
  id: record.installationId as InstallationId,
  address: record.address as Address,
  isAccepted: record.accepted,
  missing: record.missing.map(({ digest, nodeNs, failedMs, asks, askedMs }) => ({
    ...newMissing(digest, nodeNs, Number(failedMs)),
    asks,
    askedMs: Number(askedMs),
  })),
})

/** The same, with no time later than this one. */
export const datedAtMost = (peer: Peer, latestMs: number): Peer => ({
  ...peer,
  missing: peer.missing.map((one) => ({
    ...one,
    failedMs: Math.min(one.failedMs, latestMs),
    askedMs: Math.min(one.askedMs, latestMs),
  })),
})

/** Times of the last hour; none that a clock gave which was ahead. */
export const withinHour = (timesMs: readonly bigint[], nowMs: number): readonly bigint[] =>
  timesMs.filter((ms) => Number(ms) > nowMs - hourMs && Number(ms) <= nowMs + minuteMs)

/** Whether it goes with the next request: what failed since the last one does too. */
export const isDue = (one: Missing, nowMs: number): boolean =>
  one.askedMs === 0 || dueMs(one) <= nowMs

/** When to request this next; never again after the second time. */
const dueMs = ({ asks, failedMs, askedMs }: Missing): number => {
  if (asks >= maxAsks) return Number.POSITIVE_INFINITY
  return askedMs === 0 ? failedMs + firstWaitMs : askedMs + secondWaitMs
}

export const lastAskedMs = ({ missing }: Peer): number =>
  Math.max(0, ...missing.map(({ askedMs }) => askedMs))

/** When to request something next; never of an account that was not accepted. */
export const firstDueMs = ({ isAccepted, missing }: Peer): number =>
  isAccepted ? Math.min(...missing.map(dueMs)) : Number.POSITIVE_INFINITY

export const isSame = (a: Missing, b: Missing): boolean => a.name === b.name

export const peerWrite = ({ id, address, isAccepted, missing }: Peer): Write =>
  missing.length === 0
    ? remove(tables.recovery, id)
    : put(tables.recovery, id, {
        installationId: id,
        address,
        accepted: isAccepted,
        missing: missing.map((one) => ({
          digest: one.digest,
          nodeNs: one.nodeNs,
          failedMs: BigInt(one.failedMs),
          asks: one.asks,
          askedMs: BigInt(one.askedMs),
        })),
      })
