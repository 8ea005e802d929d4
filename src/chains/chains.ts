/**
 * What Padlock asks of chains: whether a contract account takes a signature (docs/protocol.md
 * section 3). Asked on the page's main thread, where the application's own clients are; the adapter
 * for URLs and for viem is `chain-option.ts`.
 */

/** Whether this account's contract takes this signature over this hash (ERC-1271). */
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

/** `unreachable`: there is no usable answer now; the same question may be answered later. */
export type SignatureStatus = 'valid' | 'invalid' | 'unreachable'

export interface Chains {
  /** The chains that can be asked. */
  readonly ids: ReadonlySet<bigint>
  /**
   * What the chain says at its latest block. Never rejects: `unreachable` too for a chain that is not
   * among `ids`, when too many ask at a time, and when the signal aborts.
   */
  verify(question: ContractQuestion, signal: AbortSignal): Promise<SignatureStatus>
}

/** For a client that knows no chain. */
export const noChains: Chains = { ids: new Set(), verify: async () => 'unreachable' }
