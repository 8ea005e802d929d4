/**
 * What Padlock needs from chains: whether a contract account accepts a signature (docs/protocol.md
 * section 3). Runs on the page's main thread, where the application's own clients are; the adapter
 * for URLs and for viem is `chain-option.ts`.
 */

/** Whether this account's contract accepts this signature over this hash (ERC-1271). */
export interface ContractQuestion {
  readonly chainId: bigint
  /** Canonical: 0x and 40 lower-case digits. */
  readonly address: string
  /** The EIP-191 hash of the text, 32 bytes. */
  readonly hash: Uint8Array
  /** Possibly wrapped for an account that is not deployed yet (ERC-6492). */
  readonly signature: Uint8Array
}

/** A viem client, an EIP-1193 provider, or anything else with their `request`. */
export interface ChainClientLike {
  request(arg: { readonly method: string; readonly params?: unknown }): Promise<unknown>
}

/**
 * What a chain says. `delegated`: accepted, at an address whose code is an EIP-7702 designator.
 * `doubtful`: a no that may pass soon, as the server may be some blocks behind: the account has no
 * code there, or the call reverted without saying what reverted it.
 */
export type ChainVerdict = 'valid' | 'delegated' | 'invalid' | 'doubtful'

/** `unreachable`: no usable answer now; the same check may succeed later. */
export type SignatureStatus = ChainVerdict | 'unreachable'

export interface Chains {
  /** The chains that can be asked. */
  readonly ids: ReadonlySet<bigint>
  /**
   * What the chain says at its latest block. Never rejects: also `unreachable` for a chain that is
   * not among `ids`, when too many checks run at once, and when the signal aborts.
   */
  verify(question: ContractQuestion, signal: AbortSignal): Promise<SignatureStatus>
}

/** For a client without chains. */
export const noChains: Chains = { ids: new Set(), verify: async () => 'unreachable' }
