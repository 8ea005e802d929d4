/**
 * How much is stored of accounts that the person has not accepted (docs/protocol.md section 9). Pure.
 */

import {
  allRequestsBytesLimit,
  allRequestsMessagesLimit,
  requestBytesLimit,
  requestMessagesLimit,
} from '../../protocol/limits.ts'

/** Messages, and the bytes of their contents. */
export interface RequestSums {
  readonly messages: number
  readonly bytes: number
}

const plus = (sums: RequestSums, bytes: number): RequestSums => ({
  messages: sums.messages + 1,
  bytes: sums.bytes + bytes,
})

/** One message more, or undefined if it finds no room. */
export const afterAddition = (
  ofAccount: RequestSums,
  ofAll: RequestSums,
  bytes: number,
): { readonly ofAccount: RequestSums; readonly ofAll: RequestSums } | undefined => {
  const next = { ofAccount: plus(ofAccount, bytes), ofAll: plus(ofAll, bytes) }
  const hasRoom =
    next.ofAccount.messages <= requestMessagesLimit &&
    next.ofAccount.bytes <= requestBytesLimit &&
    next.ofAll.messages <= allRequestsMessagesLimit &&
    next.ofAll.bytes <= allRequestsBytesLimit
  return hasRoom ? next : undefined
}

/** Whether nothing more of an account can be kept, whatever it is. */
export const isRequestFull = (
  ofAccount: { readonly messages: number; readonly bytes: bigint; readonly leftOut: number },
  ofAll: RequestSums,
): boolean =>
  ofAccount.messages >= requestMessagesLimit ||
  // A long one found no room before.
  (ofAccount.leftOut > 0 && ofAccount.bytes >= BigInt(requestBytesLimit / 2)) ||
  ofAll.messages >= allRequestsMessagesLimit ||
  ofAll.bytes >= allRequestsBytesLimit

export const afterRemoval = (sums: RequestSums, removed: RequestSums): RequestSums => ({
  messages: Math.max(0, sums.messages - removed.messages),
  bytes: Math.max(0, sums.bytes - removed.bytes),
})
