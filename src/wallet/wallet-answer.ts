/** What a wallet answered: its accounts, or a signature in the forms that wallets give it. */

import { PadlockError } from '../errors.ts'

/** The wallet answered, but not with what was asked for. */
const answeredInstead = (message: string, walletAnswer: string): PadlockError =>
  new PadlockError('wallet_failed', { message, details: { walletAnswer } })

const isAddress = (text: unknown): text is `0x${string}` =>
  typeof text === 'string' && /^0[xX][0-9a-fA-F]{40}$/.test(text)

/** The accounts that a wallet returns, which may not be a list of addresses at all. */
export const readAddresses = (answer: unknown): readonly `0x${string}`[] => {
  const list = unwrap(answer)
  if (!Array.isArray(list)) throw notAddresses(answer)
  return list.map((address: unknown) => {
    if (!isAddress(address)) throw notAddresses(address)
    return address
  })
}

/** The account that a wallet names by itself. */
export const readAddress = (address: unknown): `0x${string}` => {
  if (!isAddress(address)) throw notAddresses(address)
  return address
}

const notAddresses = (answer: unknown): PadlockError =>
  answeredInstead('The wallet answered something other than its accounts.', describe(answer))

/**
 * The bytes of a signature: hexadecimal text in any case, with or without `0x`, as bytes, or inside
 * an object. Empty for `0x`, which a contract account answers until its owners have signed.
 */
export const readSignature = (answer: unknown): Uint8Array => {
  const found = unwrap(answer)
  if (found instanceof Uint8Array) return Uint8Array.from(found)
  if (typeof found === 'string' && /^(?:0x(?:[0-9a-f]{2})*|(?:[0-9a-f]{2})+)$/i.test(found)) {
    const pairs = found.replace(/^0x/i, '').match(/../g) ?? []
    return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16))
  }
  throw answeredInstead('The wallet answered something other than a signature.', describe(answer))
}

const unwrap = (answer: unknown): unknown => {
  if (typeof answer !== 'object' || answer === null || answer instanceof Uint8Array) return answer
  if ('signature' in answer) return answer.signature
  return 'result' in answer ? answer.result : answer
}

const maxKeys = 5
const maxKeyLength = 40

/** What kind of thing it is, in words; never what it holds. */
const describe = (answer: unknown): string => {
  if (answer === null || answer === undefined) return 'nothing'
  if (typeof answer === 'string') {
    return answer === '' ? 'an empty text' : `a text of ${answer.length} characters`
  }
  if (Array.isArray(answer)) return `a list of ${answer.length}`
  if (typeof answer !== 'object') return `a ${typeof answer}`
  const keys = Object.keys(answer)
    .slice(0, maxKeys)
    .map((key) => key.slice(0, maxKeyLength))
  return keys.length === 0 ? 'an empty object' : `an object with ${keys.join(', ')}`
}
