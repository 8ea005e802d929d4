/**
 * Records what a content policy refuses while something is tried (CSP level 3, section 5: violation
 * events). The failing call's own error does not name the policy.
 */

import { PadlockError, type PadlockErrorCode } from '../errors.ts'

export interface PolicyReports {
  /** The directives that refused something so far, such as `worker-src`. */
  directives(): readonly string[]
  stop(): void
}

/** A report comes after the refusal: in Chromium a task later, in Firefox from another process. */
const reportWaitMs = 100

/** Resolves once every refusal so far has been reported; only failures wait for it. */
export const untilReported = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, reportWaitMs))

/**
 * Runs something that may fail with this code because a content policy forbids it; the error then
 * names the policy.
 */
export const namingPolicy = async <T>(
  code: PadlockErrorCode,
  run: () => Promise<T>,
): Promise<T> => {
  const policy = watchPolicy()
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof PadlockError) || error.code !== code) throw error
    await untilReported()
    const refused = policy.directives().join(', ')
    if (refused === '') throw error
    const { details, cause } = error
    const tried = `${details?.tried ?? 'it'}; the content policy forbids that (${refused})`
    throw new PadlockError(code, { details: { ...details, tried }, cause })
  } finally {
    policy.stop()
  }
}

/** Listens on a page or in a worker, from now until `stop`. */
export const watchPolicy = (): PolicyReports => {
  // Tests run both ends in Node, which has neither policies nor these events.
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
