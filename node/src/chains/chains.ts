/**
 * The chains that this node can ask about contract accounts: a server for each, a time limit for each
 * question, and a bound on questions that run and wait.
 */
import { hashMessage, toBytes } from 'viem'
import { ChainTrouble, openChain } from '../../../src/chains/chain.ts'
import { openRpc } from '../../../src/chains/chain-rpc.ts'
import type { ContractQuestion, SignatureStatus } from '../rules/signature-status.ts'
import { openSemaphore, QueueFull } from './semaphore.ts'

export interface Chains {
  /** The chains that can be asked, in the order of the options. */
  readonly ids: readonly bigint[]
  /**
   * What the chain says. Never rejects: `unavailable` when its server gives no usable answer in time
   * or may be some blocks behind, when too many wait, for a chain that is not among `ids`, and after
   * `close`.
   */
  verify(question: ContractQuestion): Promise<SignatureStatus>
  /** Ends running questions with `unavailable`. */
  close(): void
}

export interface ChainsOptions {
  /** Time limit of one question, its wait included. */
  readonly timeoutMs?: number
  /** Concurrent questions to one chain. */
  readonly slots?: number
  /** Questions that may wait for a slot of one chain. */
  readonly queueLimit?: number
  /** Called with why a chain could not be asked, in words that never hold its URL. */
  readonly onTrouble?: (chainId: bigint, why: string) => void
}

/**
 * Chains by id with the URL of a server for each. Asks nothing yet: a server that is down at the
 * start is `unavailable` until it is up, and one that answers for another chain stays so.
 */
export function openChains(
  urls: ReadonlyMap<bigint, string>,
  { timeoutMs = 8_000, slots = 16, queueLimit = 256, onTrouble }: ChainsOptions = {},
): Chains {
  const chains = new Map(
    [...urls].map(([id, url]) => [
      id,
      { chain: openChain(id, openRpc(url)), semaphore: openSemaphore(slots, queueLimit) },
    ]),
  )
  const underWay = new Set<AbortController>()
  let isClosed = false

  return {
    ids: [...chains.keys()],
    async verify(question) {
      const asked = chains.get(question.chainId)
      if (asked === undefined || isClosed) return 'unavailable'
      const controller = new AbortController()
      const late = setTimeout(
        () => controller.abort(new ChainTrouble('no answer in time')),
        timeoutMs,
      )
      underWay.add(controller)
      const { signal } = controller
      try {
        const { address, signature, text } = question
        const hash = toBytes(hashMessage(text))
        const verdict = await asked.semaphore.run(signal, () =>
          asked.chain.judge({ address, hash, signature }, signal),
        )
        return verdict === 'doubtful' ? 'unavailable' : verdict
      } catch (error) {
        const isKnown = error instanceof ChainTrouble || error instanceof QueueFull
        onTrouble?.(question.chainId, isKnown ? error.message : 'unexpected failure')
        return 'unavailable'
      } finally {
        clearTimeout(late)
        underWay.delete(controller)
      }
    },
    close() {
      isClosed = true
      for (const controller of underWay) controller.abort(new ChainTrouble('the node is stopping'))
    },
  }
}

/** For a node without chains. */
export const noChains: Chains = openChains(new Map())
