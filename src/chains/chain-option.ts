/**
 * The chains that an application names, each with a URL or a client: validates them and bounds the
 * calls.
 */

import { joinSignals, raceAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import type { Chain } from './chain.ts'
import type { ChainClientLike, Chains } from './chains.ts'

/**
 * How to reach a chain: the URL of an RPC server, a viem public client, or an EIP-1193 provider.
 *
 * @example
 * import { createPublicClient, http } from 'viem'
 * import { base } from 'viem/chains'
 *
 * const chains = {
 *   1: 'https://rpc.example',
 *   8453: createPublicClient({ chain: base, transport: http() }),
 * }
 * const client = await createClient({ wallet, node, chains })
 */
export type ChainLike = string | URL | ChainClientLike

export interface ChainsOptions {
  /** For one check. */
  readonly timeoutMs?: number
  /** Checks at a time; any more are `unreachable`. */
  readonly places?: number
}

/** @throws PadlockError invalid_argument */
export const chainsFrom = (
  option: Readonly<Record<number, ChainLike>> = {},
  { timeoutMs = 10_000, places = 32 }: ChainsOptions = {},
): Chains => {
  const chains = new Map<bigint, () => Promise<Chain>>()
  for (const [name, chain] of Object.entries(option)) {
    const id = checkChainId(Number(name))
    chains.set(id, opener(id, checkChain(chain)))
  }
  let underWay = 0
  return {
    ids: new Set(chains.keys()),
    verify: async (question, signal) => {
      const open = chains.get(question.chainId)
      if (!open || underWay >= places) return 'unreachable'
      underWay += 1
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), timeoutMs)
      const ending = joinSignals(signal, late.signal)
      try {
        // The code for it is a file of its own, which a server may never send.
        const chain = await raceAbort(open(), ending.signal, () => ending.signal.reason)
        return await chain.judge(question, ending.signal)
      } catch {
        return 'unreachable'
      } finally {
        clearTimeout(timer)
        ending.release()
        underWay -= 1
      }
    },
  }
}

/** @throws PadlockError invalid_argument */
export const checkChainId = (id: number): bigint => {
  if (Number.isSafeInteger(id) && id > 0) return BigInt(id)
  throw new PadlockError('invalid_argument', { message: 'A chain id is a positive integer.' })
}

/** Opens a chain at its first check; if loading fails, the next check tries again. */
const opener = (id: bigint, chain: string | ChainClientLike): (() => Promise<Chain>) => {
  let opened: Chain | undefined
  return async () => {
    const { openChain, openRpc, openRpcThrough } = await import('./asking.ts')
    opened ??=
      typeof chain === 'string'
        ? openChain(id, openRpc(chain))
        : openChain(id, openRpcThrough(chain), { mayChange: true })
    return opened
  }
}

const checkChain = (chain: ChainLike): string | ChainClientLike => {
  if (typeof chain === 'object' && 'request' in chain) return chain
  let url: URL | undefined
  try {
    url = new URL(chain)
  } catch {
    // Reported below.
  }
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url.href
  throw new PadlockError('invalid_argument', {
    message: 'A chain needs an http or https URL, a viem client or an EIP-1193 provider.',
  })
}
