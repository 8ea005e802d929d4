/** Errors as the journal shows them. */
import { PadlockError } from '../../src/errors.ts'

export const codeOf = (error: unknown): string =>
  error instanceof PadlockError ? error.code : error instanceof Error ? error.name : 'unknown'

export const describeError = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.stack ?? error.cause.message})` : ''
  return `${codeOf(error)}: ${error.stack ?? error.message}${cause}`
}
