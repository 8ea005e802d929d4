/** Running numbers as applications pass them back. */

import { PadlockError } from '../../errors.ts'

export const invalidCursor = () =>
  new PadlockError('invalid_argument', {
    message: 'This is not a cursor of this client. Pass the cursor of one of its messages.',
  })

/** @throws PadlockError invalid_argument */
export const readCursor = (cursor: string): number => {
  if (typeof cursor !== 'string' || !/^\d{1,15}$/.test(cursor)) throw invalidCursor()
  return Number(cursor)
}
