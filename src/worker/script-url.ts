/**
 * Addresses of worker scripts under `require-trusted-types-for 'script'` (W3C Trusted Types): such
 * a page loads code only from addresses that a policy it named has approved, never from plain text.
 */

/** The name of the SDK's policy: `Content-Security-Policy: trusted-types padlock`. */
const policyName = 'padlock'

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown }
}

const findTrustedTypes = (): TrustedTypes | undefined => {
  const found: unknown = Reflect.get(globalThis, 'trustedTypes')
  const isFactory = (value: unknown): value is TrustedTypes =>
    typeof value === 'object' && value !== null && 'createPolicy' in value
  return isFactory(found) ? found : undefined
}

/** The policy approves one address at a time: that of the worker about to start. */
let approved: string | undefined
let policy: ReturnType<TrustedTypes['createPolicy']> | undefined

/**
 * The address in the form that `new Worker` takes on this page. Without Trusted Types, or if the
 * page names no policy `padlock`, that is the address itself, which a page that enforces them
 * refuses.
 */
export const scriptUrl = (url: string): string => {
  const factory = findTrustedTypes()
  if (!factory) return url
  try {
    policy ??= factory.createPolicy(policyName, {
      createScriptURL: (asked) => {
        if (asked !== approved) throw new TypeError('not an address of Padlock')
        return asked
      },
    })
    approved = url
    // A TrustedScriptURL can be used wherever its text can; TypeScript's DOM types do not know it.
    return policy.createScriptURL(url) as string
  } catch {
    return url
  } finally {
    approved = undefined
  }
}
