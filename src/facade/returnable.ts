/** Iterators that end when their reader is done with them, whatever they are doing then. */

/**
 * Iterates what `run` yields. A generator alone hears of `return` only once it has begun, and not
 * while it waits: this one's `returned` aborts at once, and whoever waits should listen to it.
 */
export const returnable = <T>(
  run: (returned: AbortSignal) => AsyncGenerator<T, void>,
): AsyncIterableIterator<T, void> => {
  const returned = new AbortController()
  const values = run(returned.signal)
  return {
    next: () => values.next(),
    return: () => {
      returned.abort()
      return values.return()
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
