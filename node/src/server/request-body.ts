/** The body of a request as it arrives: counted while it is in memory, and not waited for for ever. */
import { refusal } from '../refusal.ts'
import type { BodyShare } from './body-budget.ts'

/** When a node that has too much in memory is asked to be tried again. */
const retryAfterMs = 1_000

/**
 * The same bytes.
 * @throws ConnectError `rate_limited` when there is no room for them.
 */
export async function* countBody(
  body: AsyncIterable<Uint8Array>,
  share: BodyShare,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    if (!share.take(chunk.length)) throw refusal('rate_limited', { retryAfterMs })
    yield chunk
  }
}

/** The same bytes; calls `begun` before the first of them, or at the end if there are none. */
export async function* watchBegin(
  body: AsyncIterable<Uint8Array>,
  begun: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      begun()
      yield chunk
    }
  } finally {
    begun()
  }
}
