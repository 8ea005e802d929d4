/**
 * What a content policy refuses while something is tried (CSP level 3, section 5: violation events).
 * The call itself fails with an error that does not name the policy.
 */

export interface PolicyReports {
  /** The directives that refused something so far, such as `worker-src`. */
  directives(): readonly string[]
  stop(): void
}

/** Listens on a page or in a worker, from now until `stop`. */
export const watchPolicy = (): PolicyReports => {
  // Tests run both ends in Node, which has no policies and no events of its own.
  const target = [globalThis.document, globalThis].find((one) => one instanceof EventTarget)
  const found = new Set<string>()
  const listener = (event: Event) => {
    const directive: unknown = Reflect.get(event, 'effectiveDirective')
    if (typeof directive === 'string') found.add(directive)
  }
  const type = 'securitypolicyviolation'
  target?.addEventListener(type, listener)
  return {
    directives: () => [...found],
    stop: () => target?.removeEventListener(type, listener),
  }
}
