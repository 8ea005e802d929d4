/**
 * The codes of a node and the gRPC status that each travels with: docs/protocol.md section 13.
 * Which of them are retryable is in the one table in src/errors.ts.
 */
import type { PadlockErrorCode } from '../errors.ts'

/** Numbers of the gRPC statuses in use; Connect's `Code` has the same. */
export const grpcStatus = {
  invalidArgument: 3,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  unavailable: 14,
} as const

/** The status of each code that a node answers. */
export const nodeCodes = {
  malformed: grpcStatus.invalidArgument,
  unknown_topic: grpcStatus.invalidArgument,
  too_large: grpcStatus.invalidArgument,
  bad_signature: grpcStatus.invalidArgument,
  wrong_address: grpcStatus.invalidArgument,
  wrong_signature_kind: grpcStatus.invalidArgument,
  chain_unknown: grpcStatus.invalidArgument,
  revoked: grpcStatus.failedPrecondition,
  already_revoked: grpcStatus.failedPrecondition,
  already_vouched: grpcStatus.failedPrecondition,
  unknown_installation: grpcStatus.failedPrecondition,
  recipient_gone: grpcStatus.failedPrecondition,
  sealing_key_not_newer: grpcStatus.failedPrecondition,
  stale_upload: grpcStatus.failedPrecondition,
  stock_full: grpcStatus.failedPrecondition,
  too_many_installations: grpcStatus.failedPrecondition,
  clock_ahead: grpcStatus.failedPrecondition,
  sealing_key_too_soon: grpcStatus.failedPrecondition,
  bad_proof: grpcStatus.permissionDenied,
  not_supported_yet: grpcStatus.unimplemented,
  rate_limited: grpcStatus.resourceExhausted,
  slow_reader: grpcStatus.resourceExhausted,
  unavailable: grpcStatus.unavailable,
  chain_unavailable: grpcStatus.unavailable,
} as const satisfies { readonly [code in PadlockErrorCode]?: number }

export type NodeCode = keyof typeof nodeCodes

/** Whether a code is one that a node may answer. */
export const isNodeCode = (code: string): code is NodeCode => Object.hasOwn(nodeCodes, code)
