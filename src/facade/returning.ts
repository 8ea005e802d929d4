/** When a page should look at its connection again, which the engine's worker cannot hear of. */

/** What was out of view for less was not suspended: every change of tab would cost a connection. */
const awayMs = 20_000

/** @returns stops it. Where there are no such events, as on a server, `tell` is never called. */
export const onReturn = (tell: () => void): (() => void) => {
  const end = new AbortController()
  const listen = (target: Pick<EventTarget, 'addEventListener'>, type: string, act: () => void) =>
    target.addEventListener?.(type, act, { signal: end.signal })
  listen(globalThis, 'online', tell)
  // Out of the back/forward cache.
  listen(globalThis, 'pageshow', tell)
  if (typeof document !== 'undefined') {
    let hiddenMs = 0
    listen(document, 'resume', tell)
    listen(document, 'visibilitychange', () => {
      if (document.hidden) hiddenMs = Date.now()
      else if (Date.now() - hiddenMs > awayMs) tell()
    })
  }
  return () => end.abort()
}
