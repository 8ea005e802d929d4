/**
 * What a contract account's signature needs before a rule can judge it: a question to its chain, and
 * the chain's word. Rules ask no chain themselves, as they run inside a transaction.
 */
import type { Address } from '../../../src/protocol/ids.ts'

/** Whether this account's contract takes this signature over the EIP-191 hash of the text (ERC-1271). */
export interface ContractQuestion {
  readonly chainId: bigint
  readonly address: Address
  readonly text: string
  /** Possibly wrapped for an account that is not deployed yet (ERC-6492). */
  readonly signature: Uint8Array
}

/** `unavailable`: the chain could not be asked; the same question may be answered later. */
export type SignatureStatus = 'valid' | 'invalid' | 'unavailable'
