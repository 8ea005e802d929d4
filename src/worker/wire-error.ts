/**
 * Errors as plain data, for the thread boundary: `postMessage` keeps neither the class nor the
 * code, and would lose the causes that people search for (a wallet's own words, a status, a
 * DOMException).
 */

import { isPadlockErrorCode, messageOf, PadlockError, type PadlockErrorCode } from '../errors.ts'

export interface WireError {
  readonly code: PadlockErrorCode
  /** Absent: the other side has the code's own message. */
  readonly message: string | undefined
  readonly details: Readonly<Record<string, string | number | boolean>> | undefined
  readonly cause: WireCause | undefined
}

/** What crosses of an error that is not ours. */
interface WireCause {
  readonly name: string
  readonly message: string
  readonly code: string | number | undefined
  readonly cause: WireCause | undefined
}

/** How deep causes are followed; viem and Connect nest two or three. */
const maxDepth = 4
/** Some libraries put whole requests into their messages. */
const maxMessageLength = 500

/**
 * An unexpected error becomes `internal`, and only its class crosses: its message may hold the data
 * that it failed on. The causes of all other errors were chosen where they were translated.
 */
export const toWire = (error: unknown): WireError => {
  const known =
    error instanceof PadlockError ? error : new PadlockError('internal', { cause: error })
  const { code, details, message } = known
  const cause = readCause(known.cause)
  return {
    code,
    message: message === messageOf(code, details) ? undefined : message,
    details,
    cause: code === 'internal' ? cause && { ...cause, message: '', cause: undefined } : cause,
  }
}

export const fromWire = ({ code, message, details, cause }: WireError): PadlockError =>
  new PadlockError(isPadlockErrorCode(code) ? code : 'internal', {
    message,
    details,
    cause: cause && fromWireCause(cause, maxDepth),
  })

/** An error from another frame may refuse to be read, and the answer must still cross. */
const readCause = (cause: unknown): WireCause | undefined => {
  try {
    return toWireCause(cause, maxDepth)
  } catch {
    return undefined
  }
}

const toWireCause = (error: unknown, depth: number): WireCause | undefined => {
  if (error === undefined || error === null || depth === 0) return undefined
  if (typeof error !== 'object') {
    return { name: 'Error', message: shorten(String(error)), code: undefined, cause: undefined }
  }
  const read = (key: string): unknown => (key in error ? Reflect.get(error, key) : undefined)
  const [name, message, code] = [read('name'), read('message'), read('code')]
  return {
    name: typeof name === 'string' ? shorten(name) : 'Error',
    message: typeof message === 'string' ? shorten(message) : '',
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    cause: toWireCause(read('cause'), depth - 1),
  }
}

const fromWireCause = ({ name, message, code, cause }: WireCause, depth: number): Error => {
  const error = new Error(message)
  Object.assign(error, { name }, code === undefined ? {} : { code })
  if (cause && depth > 1) error.cause = fromWireCause(cause, depth - 1)
  return error
}

const shorten = (text: string): string => text.slice(0, maxMessageLength)
