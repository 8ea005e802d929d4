/**
 * What a content policy refuses while something is tried (CSP level 3, section 5: violation events).
 * The call itself fails with an error that does not name the policy.
 */

import { PadlockError, type PadlockErrorCode } from '../errors.ts'

export interface PolicyReports {
  /** The directives that refused something so far, such as `worker-src`. */
  directives(): readonly string[]
  stop(): void
}

/** Resolves with what was refused so far: the report of a refusal comes a task after it. */
const reported = async (policy: PolicyReports): Promise<string> => {
  await new Promise((resolve) => setTimeout(resolve))
  return policy.directives().join(', ')
}

/**
 * Runs something that may fail with this code because a content policy forbids it, and names the
 * policy in the error then.
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
    const refused = await reported(policy)
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
