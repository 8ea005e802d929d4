/**
 * Whether a contract account takes a signature, by one chain's word: docs/protocol.md section 3.
 * There is no ECDSA here at all, so no key of an ordinary account passes for a contract.
 */

import { decodeHex, encodeHex } from '../protocol/bytes.ts'
import type { ContractQuestion } from './chains.ts'
import { buildProgram, no, yes } from './deployless.ts'
import { encodeQuestion, magicValue, unwrapSignature } from './erc6492.ts'
import type { AskChain } from './rpc.ts'

// What one transaction may use since EIP-7825: contracts that only burn gas cost no more than that.
const gas = '0x1000000'

// Without a sender a call comes from the zero address, which some contracts take for a simulation
// that may skip their checks.
const from = '0x000000000000000000000000000000000000dead'

const accepted = `0x${encodeHex(magicValue)}${'0'.repeat(56)}`

/** @throws if the chain gives no usable answer, or another chain answers. */
export const isAccepted = async (
  ask: AskChain,
  { chainId, address, hash, signature }: ContractQuestion,
  signal: AbortSignal,
): Promise<boolean> => {
  const unwrapped = unwrapSignature(signature)
  const account = decodeHex(address.slice(2))
  if (!unwrapped || account?.length !== 20) return false
  const call = async (to: string | undefined, data: Uint8Array) =>
    ask(
      'eth_call',
      [{ from, gas, data: `0x${encodeHex(data)}`, ...(to && { to }) }, 'latest'],
      signal,
    )
  const program = buildProgram(account, hash, unwrapped.signature, unwrapped.deployment)
  // An answer of another chain would be about another account with the same address. A wallet's
  // client may change its chain at any time, so each question asks again.
  const [, word] = await Promise.all([
    confirmChain(ask, chainId, signal),
    call(undefined, program).catch(() => undefined),
  ])
  if (word === yes || word === no) return word === yes
  // There are chains that cannot run such a program; an account that is there they can ask directly.
  if (word !== undefined && word !== '0x') throw new Error('no answer of the program')
  const code = await ask('eth_getCode', [address, 'latest'], signal)
  if (code === '0x') throw new Error('no answer about an account without code')
  const answer = await call(address, encodeQuestion(hash, unwrapped.signature))
  await confirmChain(ask, chainId, signal)
  return answer.slice(0, accepted.length) === accepted
}

const confirmChain = async (ask: AskChain, wanted: bigint, signal: AbortSignal): Promise<void> => {
  const found = await ask('eth_chainId', [], signal)
  // 64 bits are the most that the wire carries (section 4).
  if (!/^0x[0-9a-f]{1,16}$/.test(found) || BigInt(found) !== wanted) {
    throw new Error('another chain answers')
  }
}
