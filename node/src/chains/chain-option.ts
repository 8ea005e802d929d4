/** The option that names a chain and the RPC server to ask about its contract accounts. */

/** A chain and its server. The URL may hold a key: it is for opening a connection, never for showing. */
export interface ChainOption {
  readonly chainId: bigint
  readonly url: string
}

/** The largest that the wire can carry: `uint64 chain_id` (docs/protocol.md section 4). */
const largestChainId = 2n ** 64n - 1n

/**
 * Parses `<chain id>=<http or https URL>`. `problem` is a sentence for the operator; it repeats
 * nothing of the URL.
 */
export function parseChainOption(text: string): ChainOption | { readonly problem: string } {
  const separator = text.indexOf('=')
  if (separator === -1)
    return { problem: 'A chain is given as <chain id>=<URL of its RPC server>.' }
  const digits = text.slice(0, separator)
  // 20 digits hold the largest; more need not be read to be refused.
  if (!/^[1-9][0-9]{0,19}$/.test(digits) || BigInt(digits) > largestChainId) {
    return { problem: 'A chain id is a decimal number from 1 to 18446744073709551615.' }
  }
  const chainId = BigInt(digits)
  const url = URL.parse(text.slice(separator + 1))
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return { problem: `The RPC server of chain ${chainId} needs an http or https URL.` }
  }
  return { chainId, url: url.href }
}

/** All of them by chain id, or the first problem; a chain that is given twice is one. */
export function parseChainOptions(
  texts: readonly string[],
): ReadonlyMap<bigint, string> | { readonly problem: string } {
  const urls = new Map<bigint, string>()
  for (const text of texts) {
    const option = parseChainOption(text)
    if ('problem' in option) return option
    if (urls.has(option.chainId)) return { problem: `Chain ${option.chainId} is given twice.` }
    urls.set(option.chainId, option.url)
  }
  return urls
}
