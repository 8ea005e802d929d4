/**
 * Whether a contract account accepts a signature, according to one chain: docs/protocol.md section
 * 3. There is no ECDSA here at all, so no key of an ordinary account passes for a contract.
 */
import { encodeFunctionData, type Hex, parseAbi, parseErc6492Signature, toHex } from 'viem'
import {
  type ChainRpc,
  type ContractCall,
  describeTrouble,
  isRpcError,
  isTooLarge,
  revertOf,
} from './chain-rpc.ts'
import type { ChainVerdict, ContractQuestion } from './chains.ts'

const erc1271 = parseAbi([
  'function isValidSignature(bytes32 hash, bytes signature) view returns (bytes4)',
])

/** The selector of isValidSignature as a bytes4 in a word: the "magic value" of ERC-1271. */
const accepted = `0x1626ba7e${'0'.repeat(56)}`

/** What one chain can check. */
export type ChainQuestion = Omit<ContractQuestion, 'chainId'>

/** The chain could not be asked; the message is for logs and never holds the URL. */
export class ChainTrouble extends Error {}

export interface Chain {
  /** @throws ChainTrouble, or the signal's reason if it aborts. */
  judge(question: ChainQuestion, signal: AbortSignal): Promise<ChainVerdict>
}

export interface ChainOptions {
  /** The server may switch to another chain at any time, as a wallet's provider does. */
  readonly mayChange?: boolean
}

/** A chain whose server has not confirmed its id yet. */
export function openChain(id: bigint, rpc: ChainRpc, { mayChange }: ChainOptions = {}): Chain {
  // An answer from another chain would concern another account with the same address.
  let confirmed = false
  const confirm = async (signal: AbortSignal): Promise<void> => {
    const found = await rpc.chainId(signal)
    if (found !== id) throw new ChainTrouble(`its server answers for chain ${found}`)
    confirmed = !mayChange
  }

  return {
    async judge(question, signal) {
      try {
        if (!confirmed) await confirm(signal)
        try {
          const answer = await ask(rpc, question, signal)
          // Checked before and after: it was this chain throughout.
          if (mayChange) await confirm(signal)
          return answer
        } catch (error) {
          if (!isTooLarge(error)) throw error
          // The contract's fault, if the server answers otherwise.
          await confirm(signal)
          return 'invalid'
        }
      } catch (error) {
        // The server may have been replaced while it was unreachable.
        confirmed = false
        if (signal.aborted) throw signal.reason
        if (error instanceof ChainTrouble) throw error
        throw new ChainTrouble(describeTrouble(error))
      }
    },
  }
}

async function ask(
  rpc: ChainRpc,
  question: ChainQuestion,
  signal: AbortSignal,
): Promise<ChainVerdict> {
  const address: Hex = `0x${question.address.slice(2)}`
  const unwrapped = unwrap(question.signature)
  if (unwrapped === undefined) return 'invalid'
  const data = encodeFunctionData({
    abi: erc1271,
    functionName: 'isValidSignature',
    args: [toHex(question.hash), unwrapped.signature],
  })
  const request = { to: address, data }
  const code = await rpc.code(address, signal)
  // ERC-6492 would also call the factory for a deployed account that said no. Here, the uploader of
  // a signature cannot choose such a call: only accounts without code are deployed.
  if (code !== 'none') {
    const verdict = await judgeDeployed(rpc, request, signal)
    return verdict === 'valid' && code === 'delegated' ? 'delegated' : verdict
  }
  const { deployment } = unwrapped
  // It may have been deployed in a block that this server does not have yet.
  if (deployment === undefined) return 'doubtful'
  // viem's deployless call reverts if there is still no code after the factory ran.
  return judge(rpc, { ...request, deployment }, signal)
}

/** The signature for the contract, and its deployment if ERC-6492 wraps one; absent if broken. */
function unwrap(
  bytes: Uint8Array,
): { readonly signature: Hex; readonly deployment?: ContractCall['deployment'] } | undefined {
  // A contract may have signed on chain: then it takes an empty signature.
  if (bytes.length === 0) return { signature: '0x' }
  try {
    const { signature, address, data } = parseErc6492Signature(toHex(bytes))
    if (address === undefined) return { signature }
    return { signature, deployment: { factory: address, factoryData: data } }
  } catch {
    return undefined
  }
}

/** Like OpenZeppelin's SignatureChecker: compares the first word, all 32 bytes of it. */
async function judge(
  rpc: ChainRpc,
  request: ContractCall,
  signal: AbortSignal,
): Promise<ChainVerdict> {
  try {
    const answer = await rpc.call(request, signal)
    // What an address without code answers, also on a server that is some blocks behind.
    if (answer === '0x') return 'doubtful'
    return answer.slice(0, accepted.length).toLowerCase() === accepted ? 'valid' : 'invalid'
  } catch (error) {
    const revert = revertOf(error)
    if (revert === undefined) throw error
    return revert === 'data' ? 'invalid' : 'doubtful'
  }
}

async function judgeDeployed(
  rpc: ChainRpc,
  request: ContractCall,
  signal: AbortSignal,
): Promise<ChainVerdict> {
  try {
    return await judge(rpc, request, signal)
  } catch (error) {
    if (!isRpcError(error)) throw error
    // Running out of gas has no code that all servers share, so it looks like trouble with the
    // server. Inside another call it is a revert like any other. This factory does nothing: it is
    // not called for an account with code.
    const deployment = { factory: request.to, factoryData: '0x' } as const
    return judge(rpc, { ...request, deployment }, signal)
  }
}
