/** Messages as an endless AsyncIterable: reads the store in order of arrival, page by page. */

import { joinSignals, raceAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import type { Consent, WorkerApi } from '../worker/contract.ts'
import type { Remote } from '../worker/rpc.ts'
import { type Message, makeMessage } from './message.ts'
import { returnable } from './returnable.ts'

export interface StreamOptions {
  /** Ends the stream. */
  readonly signal?: AbortSignal
  /** A message's `cursor`: start after it. By default, from now on. `'0'`: from the very first. */
  readonly since?: string
}

/** Of the stream of all conversations. */
export interface MessagesOptions extends StreamOptions {
  /**
   * Only messages of conversations with accounts of which the person said this: `allowed` leaves out
   * what strangers write. By default, all but of denied accounts.
   */
  readonly consent?: Consent
}

/** Ends when aborted; throws when the client is closed or the worker fails. */
export const streamMessages = (
  worker: Remote<WorkerApi>,
  conversationId: string | undefined,
  { signal, since, consent }: MessagesOptions,
): AsyncIterable<Message> => {
  // Read at once, so that "from now" means the call and not the first turn of the loop.
  const begin = since === undefined ? worker.lastCursor({}) : since
  // The loop throws a failure; this keeps one that comes earlier from being unhandled.
  if (typeof begin !== 'string') begin.catch(() => undefined)
  return returnable(async function* (returned) {
    const ending = joinSignals(returned, ...(signal ? [signal] : []))
    try {
      let after = await raceAbort(
        Promise.resolve(begin),
        ending.signal,
        () => new PadlockError('aborted'),
      )
      while (!ending.signal.aborted) {
        const page = await worker.nextMessages(
          { after, conversationId, consent },
          { signal: ending.signal },
        )
        for (const message of page.messages) {
          if (ending.signal.aborted) return
          yield makeMessage(worker, message)
        }
        after = page.cursor
      }
    } catch (error) {
      if (error instanceof PadlockError && error.code === 'aborted' && ending.signal.aborted) return
      throw error
    } finally {
      ending.release()
    }
  })
}
