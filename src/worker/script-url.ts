/**
 * Addresses of worker scripts under `require-trusted-types-for 'script'` (W3C Trusted Types): such a
 * page takes no plain text where code is loaded from, only what a policy that it named has approved.
 */

/** What the SDK calls its policy: `Content-Security-Policy: trusted-types padlock`. */
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

/** The policy approves one address at a time: the one that is about to be started. */
let approved: string | undefined
let policy: ReturnType<TrustedTypes['createPolicy']> | undefined

/**
 * The address in the form that `new Worker` takes on this page. Where there are no Trusted Types, or
 * the page names no policy `padlock`, that is the address itself, and a page that insists refuses it.
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
    // A TrustedScriptURL stands for its text everywhere; TypeScript's DOM types do not know it.
    return policy.createScriptURL(url) as string
  } catch {
    return url
  } finally {
    approved = undefined
  }
}
