/**
 * What a check of untrusted data returns: the parsed value, or the code and reason of the refusal.
 * Bad bytes from a network are expected, so they are values and never exceptions.
 */
import type { PadlockErrorCode } from '../errors.ts'

/** A refusal: the code for programs, the reason for logs and tests. It never holds keys or content. */
export interface Refusal {
  readonly ok: false
  readonly code: PadlockErrorCode
  readonly why: string
}

/** The value of a check that passed, or why it did not. */
export type Checked<T> = { readonly ok: true; readonly value: T } | Refusal

/** A check that passed. */
export const good = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value })

/** A check that failed. */
export const bad = (code: PadlockErrorCode, why: string): Refusal => ({ ok: false, code, why })
