/** What to do with a database that no longer answers: browsers have had bugs of that kind. */

import { PadlockError } from '../errors.ts'

/** No transaction of ours takes nearly as long, on any disk. */
const patienceMs = 60_000
/** What was ready when a suspended worker wakes up goes first. */
const graceMs = 5_000

/**
 * The promise, or `storage_failed` once it has taken too long.
 *
 * @param giveUp ends the work; returns false if it may still take effect: then nothing may be said
 *   of it but what comes of it
 */
export const withPatience = <T>(
  promise: Promise<T>,
  giveUp: () => boolean,
  limitMs = patienceMs,
): Promise<T> =>
  new Promise((resolve, reject) => {
    const giveUpNow = () => {
      if (giveUp()) reject(new PadlockError('storage_failed', { cause: new Error('no answer') }))
    }
    let timer = setTimeout(() => {
      timer = setTimeout(giveUpNow, graceMs)
    }, limitMs)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
