/**
 * Checks signatures on chains, with the library for Ethereum's RPC and ABI: loaded when the first
 * contract account turns up, as most clients never need it.
 */
export { openChain } from './chain.ts'
export { openRpc, openRpcThrough } from './chain-rpc.ts'
