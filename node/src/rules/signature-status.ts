/**
 * What a rule needs to judge the signature of a contract account: a question to its chain, and the
 * chain's answer. Rules do not ask chains themselves, as they run inside a transaction.
 */
import type { Address } from '../../../src/protocol/ids.ts'

/**
 * Does this account's contract accept this signature over the EIP-191 hash of the text (ERC-1271)?
 */
export interface ContractQuestion {
  readonly chainId: bigint
  readonly address: Address
  readonly text: string
  /** Possibly wrapped for an account that is not deployed yet (ERC-6492). */
  readonly signature: Uint8Array
}

/**
 * `delegated`: accepted, at an address whose code is an EIP-7702 designator. `unavailable`: the chain
 * could not be asked, or may be behind; the same question may be answered later.
 */
export type SignatureStatus = 'valid' | 'delegated' | 'invalid' | 'unavailable'
