/**
 * The order of a start that wallets can live with: the node is asked first, so that nobody signs in vain,
 * and the wallet is asked while the person's click is fresh, whether the node has answered or not.
 */

import { PadlockError } from '../../errors.ts'
import type { Platform } from '../../platform/platform.ts'
import { Backoff, retryAfterMs } from '../runtime/backoff.ts'

/**
 * How long the wallet waits for the node. One that opens a window needs the click, which browsers forget
 * after about five seconds (HTML, section 6.4.1, transient activation); loading takes its part of them.
 */
const nodeFirstMs = 2_000

/**
 * Asks the node for something, and waits for it as long as a click allows.
 *
 * @returns its answer, for when there is no going on without: then it is asked again until it is there
 * @throws PadlockError what it says in that time; later only what no further try changes
 */
export const askNodeFirst = async <Answer>(
  ask: () => Promise<Answer>,
  platform: Pick<Platform, 'wait' | 'randomBytes'>,
  signal: AbortSignal,
): Promise<() => Promise<Answer>> => {
  const first = ask()
  const patience = new AbortController()
  try {
    await Promise.race([first, platform.wait(nodeFirstMs, patience.signal)])
  } finally {
    patience.abort()
  }
  // What it says from now on counts once somebody waits for it.
  first.catch(() => undefined)
  return async () => {
    const backoff = new Backoff(platform)
    for (let asking = first; ; asking = ask()) {
      try {
        return await asking
      } catch (error) {
        const mayCome = error instanceof PadlockError && error.retryable
        if (!mayCome || signal.aborted) throw error
        await platform.wait(backoff.next(retryAfterMs(error)), signal)
      }
    }
  }
}
