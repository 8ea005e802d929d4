/** The tables of codes: each of a node's has its gRPC status, and each refusal its outcome. */
import { Code } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { codes, isPadlockErrorCode, type PadlockErrorCode } from '../../src/errors.ts'
import { grpcStatus, isNodeCode, nodeCodes } from '../../src/protocol/node-codes.ts'
import { outcomeOf } from '../../src/protocol/outcomes.ts'

test('section 13: the statuses are those of gRPC', () => {
  expect(grpcStatus).toEqual({
    invalidArgument: Code.InvalidArgument,
    permissionDenied: Code.PermissionDenied,
    resourceExhausted: Code.ResourceExhausted,
    failedPrecondition: Code.FailedPrecondition,
    unimplemented: Code.Unimplemented,
    unavailable: Code.Unavailable,
  })
})

test('section 13: each code of a node travels with its status', () => {
  const withStatus = (status: number) =>
    Object.entries(nodeCodes)
      .filter(([, each]) => each === status)
      .map(([code]) => code)
      .sort()
      .join(' ')
  // Section 13, row by row.
  expect(withStatus(grpcStatus.invalidArgument)).toBe(
    'bad_signature chain_unknown malformed too_large unknown_topic wrong_address wrong_signature_kind',
  )
  expect(withStatus(grpcStatus.failedPrecondition)).toBe(
    'already_revoked already_vouched clock_ahead recipient_gone revoked sealing_key_not_newer sealing_key_too_soon ' +
      'stale_upload stock_full too_many_installations unknown_installation',
  )
  expect(withStatus(grpcStatus.permissionDenied)).toBe('bad_proof')
  expect(withStatus(grpcStatus.unimplemented)).toBe('not_supported_yet')
  expect(withStatus(grpcStatus.resourceExhausted)).toBe('rate_limited slow_reader')
  expect(withStatus(grpcStatus.unavailable)).toBe('chain_unavailable unavailable')
})

test('the codes of a node are the 24 of section 13, six of them worth a retry', () => {
  const names = Object.keys(nodeCodes)
  expect(names.length).toBe(24)
  expect(names.every(isPadlockErrorCode)).toBe(true)
  const retryable = (Object.keys(nodeCodes) as (keyof typeof nodeCodes)[]).filter(
    (code) => codes[code].retryable,
  )
  expect(retryable.sort()).toEqual([
    'chain_unavailable',
    'clock_ahead',
    'rate_limited',
    'sealing_key_too_soon',
    'slow_reader',
    'unavailable',
  ])
  expect(isNodeCode('bad_proof')).toBe(true)
  expect(isNodeCode('toString')).toBe(false)
  expect(isNodeCode('wallet_rejected')).toBe(false)
})

test('section 13: a failure to decrypt can be asked for again, a forgery cannot', () => {
  const kinds = (wanted: readonly PadlockErrorCode[]) =>
    new Set(wanted.map((code) => outcomeOf(code).kind))
  expect(
    kinds([
      'session_unknown',
      'session_mismatch',
      'message_key_gone',
      'prekey_gone',
      'decryption_failed',
      'header_mismatch',
    ]),
  ).toEqual(new Set(['undecryptable']))
  expect(
    kinds([
      'malformed',
      'not_for_us',
      'unsealing_failed',
      'unknown_sender',
      'sender_revoked',
      'bad_header_signature',
      'bad_mac',
      'wrong_participants',
      'bad_payload',
      'message_too_large',
    ]),
  ).toEqual(new Set(['rejected']))
  expect(outcomeOf('unsupported_version')).toEqual({ kind: 'unsupported_version' })
})
