/**
 * Calls one chain's RPC server, or the application's client for it, through viem: returns a result
 * of the right shape, or an error that says whether the contract or the server is to blame.
 */

import {
  BaseError,
  type CallParameters,
  CounterfactualDeploymentFailedError,
  createClient,
  custom,
  ExecutionRevertedError,
  type Hex,
  HttpRequestError,
  http,
  isHex,
  numberToHex,
  ResponseBodyTooLargeError,
  RpcRequestError,
  UnknownRpcError,
} from 'viem'
import { call } from 'viem/actions'
import { raceAbort } from '../async.ts'
import { type AccountCode, readAccountCode } from '../protocol/account-code.ts'
import { readChainId } from '../protocol/chain-id.ts'
import type { ChainClientLike } from './chains.ts'

// A contract's code is the largest honest answer: 24 KiB by EIP-170, 512 KiB on some chains, two
// hex digits per byte.
const answerLimitBytes = 2 * 1024 * 1024

// What one transaction may use since EIP-7825. Otherwise the server's own limit applies, often 50
// million, and contracts that only burn gas would keep every slot busy for longer.
const gasLimit = 2n ** 24n

// Without a sender, a call comes from the zero address, which some contracts take for a simulation
// that may skip their checks.
const caller = '0x000000000000000000000000000000000000dEaD'

/** A call to a contract; with a factory, one that deploys it first if it has no code. */
export interface ContractCall {
  readonly to: Hex
  readonly data: Hex
  readonly deployment?: { readonly factory: Hex; readonly factoryData: Hex }
}

/** Each rejects with the signal's reason if it aborts, else with an error for the functions below. */
export interface ChainRpc {
  chainId(signal: AbortSignal): Promise<bigint>
  code(address: Hex, signal: AbortSignal): Promise<AccountCode>
  /** What the contract returns at the latest block; `0x` if nothing. */
  call(request: ContractCall, signal: AbortSignal): Promise<Hex>
}

/** The server answered with JSON that does not answer the call. */
class UnusableAnswer extends Error {}

class TooLong extends Error {}

type Asked = { readonly method: string; readonly params?: unknown }
type Request = (asked: Asked, options?: { readonly signal?: AbortSignal }) => Promise<unknown>

export function openRpc(url: string): ChainRpc {
  // Each check has one time limit for all its requests, passed as a signal: viem's own covers a
  // single request, without reading its body.
  const server = http(url, {
    maxResponseBodySize: answerLimitBytes,
    timeout: 0,
    // Tell the server neither who asks nor from which page.
    fetchOptions: { credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store' },
  })({ retryCount: 0 })
  return openRpcOver((asked, options) => server.request(asked, options))
}

/** Through the application's own client, which need not know signals or limits. */
export const openRpcThrough = (application: ChainClientLike): ChainRpc =>
  openRpcOver(async (asked, options) => {
    const signal = options?.signal ?? undefined
    signal?.throwIfAborted()
    const result = await raceAbort(application.request(asked), signal, () => signal?.reason)
    if (typeof result === 'string' && result.length > answerLimitBytes) throw new TooLong()
    return result
  })

function openRpcOver(ask: Request): ChainRpc {
  const request: Request = async (asked, options) => {
    const result = await ask(asked, options)
    if (asked.method === 'eth_chainId') {
      const id = readChainId(result)
      if (id !== undefined) return numberToHex(id)
    }
    // viem takes a missing result for an empty one, and a proxy's JSON has no result.
    if (!isHex(result)) throw new UnusableAnswer('no result')
    return result
  }
  const client = createClient({
    // A contract could otherwise name URLs (ERC-3668) that this node would then fetch.
    ccipRead: false,
    transport: custom({ request }, { retryCount: 0 }),
  })
  return {
    chainId: async (signal) => BigInt(await client.request({ method: 'eth_chainId' }, { signal })),
    code: async (address, signal) => {
      const code = readAccountCode(
        await client.request({ method: 'eth_getCode', params: [address, 'latest'] }, { signal }),
      )
      if (code === undefined) throw new UnusableAnswer('no code')
      return code
    },
    call: async ({ to, data, deployment }, signal) => {
      const parameters: CallParameters = {
        account: caller,
        gas: gasLimit,
        blockTag: 'latest',
        to,
        data,
        ...deployment,
        requestOptions: { signal },
      }
      return (await call(client, parameters)).data ?? '0x'
    },
  }
}

const findCause = (error: unknown, matches: (cause: unknown) => boolean): unknown =>
  error instanceof BaseError ? error.walk(matches) : null

/**
 * Whether the EVM ran the call and it failed, which only the data of the revert proves: `data`.
 * `bare`: error code 3, or a message that viem knows. Servers send these for reverts without data,
 * and for limits of their own.
 */
export const revertOf = (error: unknown): 'data' | 'bare' | undefined => {
  const hasData = (cause: unknown) => {
    if (cause instanceof CounterfactualDeploymentFailedError) return true
    const data = cause instanceof Error && 'data' in cause ? cause.data : undefined
    // Wallets put the error of their server into the data of their own.
    return isHex(data) || (typeof data === 'object' && data && 'data' in data && isHex(data.data))
  }
  if (findCause(error, (cause) => hasData(cause) === true) !== null) return 'data'
  const isBare = (cause: unknown) => cause instanceof ExecutionRevertedError
  return findCause(error, isBare) === null ? undefined : 'bare'
}

/** Whether the server answered with a JSON-RPC error; clients have their own classes for that. */
export const isRpcError = (error: unknown): boolean =>
  findCause(error, (cause) => cause instanceof RpcRequestError || codeOf(cause) !== undefined) !==
  null

const codeOf = (cause: unknown): number | undefined =>
  cause instanceof Error &&
  // That one has a number too, but stands for anything else that was thrown.
  !(cause instanceof UnknownRpcError) &&
  'code' in cause &&
  typeof cause.code === 'number'
    ? cause.code
    : undefined

/** Whether the answer was longer than any honest one. */
export const isTooLarge = (error: unknown): boolean =>
  findCause(
    error,
    (cause) => cause instanceof ResponseBodyTooLargeError || cause instanceof TooLong,
  ) !== null

/**
 * Why a server could not be asked, for logs. Built from numbers only: viem's messages hold the URL,
 * which often holds a key.
 */
export function describeTrouble(error: unknown): string {
  const http = findCause(error, (cause) => cause instanceof HttpRequestError)
  if (http instanceof HttpRequestError && typeof http.status === 'number') {
    return `it answered HTTP ${http.status}`
  }
  const rpc = findCause(error, (cause) => cause instanceof RpcRequestError)
  if (rpc instanceof RpcRequestError && Number.isInteger(rpc.code)) {
    return `it answered JSON-RPC error ${rpc.code}`
  }
  const unusable = findCause(error, (cause) => cause instanceof UnusableAnswer)
  return unusable === null ? 'no connection, or no JSON from it' : 'its answer has no result'
}
