/** The id of a chain, as wallets and RPC servers write it. */

/**
 * EIP-695 specifies hexadecimal text; some answer a number, decimal digits, 0X, or CAIP-2. Not 0.
 */
export const readChainId = (answer: unknown): bigint | undefined => {
  const isWhole = typeof answer === 'bigint' || Number.isSafeInteger(answer)
  const digits =
    typeof answer === 'string' ? answer.replace(/^eip155:/, '') : isWhole && `${answer}`
  if (typeof digits !== 'string' || !/^(?:0[xX][0-9a-fA-F]{1,16}|\d{1,19})$/.test(digits)) {
    return undefined
  }
  const id = BigInt(digits)
  return id === 0n ? undefined : id
}
