/** What went wrong in a wallet: a person's no, a prompt that is open already, or a failure. */

import { type ErrorDetails, PadlockError, type PadlockErrorCode } from '../errors.ts'

/** Asks a wallet, and rejects with a PadlockError that has the wallet's own code and words. */
export const asking = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (cause) {
    throw readFailure(cause)
  }
}

/** An error from another frame may refuse to be read; then nothing is known about it. */
const readFailure = (cause: unknown): PadlockError => {
  try {
    if (cause instanceof PadlockError) return cause
    const refusal = find(cause, isRefusal, maxDepth)
    const pending = refusal === undefined ? find(cause, isPending, maxDepth) : undefined
    const code: PadlockErrorCode =
      refusal !== undefined
        ? 'wallet_rejected'
        : pending !== undefined
          ? 'wallet_pending'
          : 'wallet_failed'
    return new PadlockError(code, { details: wordsOf(refusal ?? pending ?? cause), cause })
  } catch {
    return new PadlockError('wallet_failed', { cause })
  }
}

/** viem, ethers and extensions wrap what a wallet said two or three times. */
const maxDepth = 5
const wrappings = ['cause', 'error', 'info', 'data', 'originalError', 'innerError', 'payload']

/**
 * A person's no: 4001 of EIP-1193, 5000 to 5003 of CAIP-25 (WalletConnect), ethers' own name for
 * it, and what a Ledger (0x6985, 0x5501) and a Trezor answer.
 */
const refusalCodes: ReadonlySet<unknown> = new Set([
  4001,
  5000,
  5001,
  5002,
  5003,
  0x6985,
  0x5501,
  'ACTION_REJECTED',
  'Failure_ActionCancelled',
  'Method_Cancel',
  'Method_PermissionsNotGranted',
])
/** Some wallets say it only in words, with another failure's code or none. */
const person = '(?:the )?(?:user|person|owner|signer)'
const declined =
  '(?:reject(?:ed)?|denied|declined?|refused|cancel(?:l?ed)?|disapproved|closed|dismissed|abort(?:ed)?(?! a request))'
const refusalWords = new RegExp(
  [
    `\\b${person} (?:has )?${declined}\\b`,
    `\\b${declined} by ${person}\\b`,
    `\\b(?:signature|signing|message|connection) (?:request )?(?:was )?(?:rejected|denied|declined|cancell?ed|reset)\\b`,
    '\\b(?:modal|popup|window) (?:was )?closed\\b',
    '^\\s*(?:request )?(?:rejected|cancell?ed)\\.?\\s*$',
  ].join('|'),
  'i',
)

const isRefusal = (code: unknown, words: string): boolean =>
  refusalCodes.has(code) || refusalWords.test(words)

/** EIP-1474's "resource unavailable": wallets say it while a prompt of this page is open. */
const isPending = (code: unknown, words: string): boolean =>
  code === -32002 || /\balready (?:pending|processing)\b/i.test(words)

/** The part of an error that matches; undefined if none does. */
const find = (
  error: unknown,
  matches: (code: unknown, words: string) => boolean,
  depth: number,
): unknown => {
  if (typeof error === 'string') return matches(undefined, error) ? error : undefined
  if (typeof error !== 'object' || error === null || depth === 0) return undefined
  const read = (key: string): unknown => (key in error ? Reflect.get(error, key) : undefined)
  const message = read('message')
  const words = typeof message === 'string' ? message : ''
  for (const code of [read('code'), read('statusCode')]) {
    // Some give the number as text.
    const number = typeof code === 'string' && /^-?\d+$/.test(code) ? Number(code) : code
    if (matches(number, words)) return error
  }
  for (const key of wrappings) {
    const inner = find(read(key), matches, depth - 1)
    if (inner !== undefined) return inner
  }
  return undefined
}

/** Some wallets put a whole request into their message. */
const maxWords = 500

/** A wallet's own code and words, for the developer who needs to know why. */
const wordsOf = (error: unknown): ErrorDetails => {
  if (typeof error !== 'object' || error === null) {
    return typeof error === 'string' ? { walletMessage: error.slice(0, maxWords) } : {}
  }
  const code = 'code' in error ? error.code : undefined
  const message = 'message' in error ? error.message : undefined
  return {
    ...(typeof code === 'number' || typeof code === 'string' ? { walletCode: code } : {}),
    ...(typeof message === 'string' ? { walletMessage: message.slice(0, maxWords) } : {}),
  }
}
