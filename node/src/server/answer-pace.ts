/** Times how fast readers take their answers. */

/** An answer is written in parts of this size; a reader that takes less in the limit has stalled. */
const stepBytes = 256 * 1024

export interface Taking {
  readonly limitMs: number
  /** Called before the first bytes, or at the end if there are none; may be called again. */
  readonly begun: () => void
  /** Called when a part was taken. */
  readonly moved: () => void
  /** Called when a part was not taken within the limit. */
  readonly stalled: () => void
}

/**
 * The same bytes, in parts that are timed: a consumer that asks for the next part has written the one
 * before. Node's own time limit for a stream of HTTP/2 takes what other streams of its connection do
 * for its own.
 */
export async function* timeTaking(
  body: AsyncIterable<Uint8Array>,
  { limitMs, begun, moved, stalled }: Taking,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      begun()
      for (let at = 0; at < chunk.length; at += stepBytes) {
        const timer = setTimeout(stalled, limitMs)
        try {
          yield chunk.subarray(at, at + stepBytes)
        } finally {
          clearTimeout(timer)
        }
        moved()
      }
    }
  } finally {
    begun()
  }
}
