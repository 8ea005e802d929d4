/** Messages as an endless AsyncIterable: reads the store in order of arrival, page by page. */

import { PadlockError } from '../errors.ts'
import type { Message, WorkerApi } from '../worker/contract.ts'
import type { Remote } from '../worker/rpc.ts'

export interface StreamOptions {
  /** Ends the stream. */
  readonly signal?: AbortSignal
  /** A message's `cursor`: start after it. By default, from now on. `'0'`: from the very first. */
  readonly since?: string
}

/** The worker answers a long poll after 25 s at the latest. */
const pollTimeoutMs = 60_000

/** Ends when aborted; throws when the client is closed or the worker fails. */
export const streamMessages = (
  worker: Remote<WorkerApi>,
  conversationId: string | undefined,
  { signal, since }: StreamOptions,
): AsyncIterable<Message> => {
  // Read at once, so that "from now" means the call and not the first turn of the loop.
  const begin = since === undefined ? worker.lastCursor({}, { timeoutMs: pollTimeoutMs }) : since
  // The loop throws a failure; this keeps one that comes earlier from being unhandled.
  if (typeof begin !== 'string') begin.catch(() => undefined)
  return (async function* () {
    try {
      let after = await begin
      while (!signal?.aborted) {
        const page = await worker.nextMessages(
          { after, conversationId },
          { signal, timeoutMs: pollTimeoutMs },
        )
        for (const message of page.messages) {
          if (signal?.aborted) return
          yield message
        }
        after = page.cursor
      }
    } catch (error) {
      if (error instanceof PadlockError && error.code === 'aborted' && signal?.aborted) return
      throw error
    }
  })()
}
