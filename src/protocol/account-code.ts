/** What the code at an address says about who signs for it (docs/protocol.md section 3). */

/**
 * `none`: an ordinary account, or a contract account that is not deployed yet. `delegated`: an
 * ordinary account whose calls a contract answers (EIP-7702), and which still has its key.
 */
export type AccountCode = 'none' | 'delegated' | 'contract'

/** EIP-7702: three bytes and the contract's address, nothing more. */
const designator = /^0xef0100[0-9a-f]{40}$/i

/** From what `eth_getCode` answered; undefined if that is not code at all. */
export const readAccountCode = (answer: unknown): AccountCode | undefined => {
  if (typeof answer !== 'string' || !/^0x(?:[0-9a-f]{2})*$/i.test(answer)) return undefined
  if (answer.length === 2) return 'none'
  return designator.test(answer) ? 'delegated' : 'contract'
}
