/**
 * Signatures of accounts that are not deployed yet (ERC-6492): the account's own signature, and the
 * call that would deploy it.
 */

import { concatBytes, decodeHex, equalBytes } from '../protocol/bytes.ts'

/** A call that deploys an account. */
export interface Deployment {
  /** 20 bytes. */
  readonly factory: Uint8Array
  readonly data: Uint8Array
}

export interface UnwrappedSignature {
  /** For the contract itself. */
  readonly signature: Uint8Array
  readonly deployment: Deployment | undefined
}

const wordBytes = 32
const suffix = decodeHex('6492'.repeat(16)) ?? new Uint8Array()

/** Absent if the wrapping is broken; what is not wrapped stays as it is. */
export const unwrapSignature = (bytes: Uint8Array): UnwrappedSignature | undefined => {
  const end = bytes.length - wordBytes
  if (end < 0 || !equalBytes(bytes.subarray(end), suffix)) {
    return { signature: bytes, deployment: undefined }
  }
  // abi.encode(address factory, bytes factoryCalldata, bytes signature)
  const body = bytes.subarray(0, end)
  const factory = wordAt(body, 0)
  const data = bytesAt(body, readLength(body, wordBytes))
  const signature = bytesAt(body, readLength(body, 2 * wordBytes))
  if (!factory || !data || !signature) return undefined
  return { signature, deployment: { factory: factory.subarray(12), data } }
}

const wordAt = (body: Uint8Array, at: number): Uint8Array | undefined =>
  at + wordBytes <= body.length ? body.subarray(at, at + wordBytes) : undefined

/** A word as an offset or a length; absent if it cannot be one within the body. */
const readLength = (body: Uint8Array, at: number): number | undefined => {
  const word = wordAt(body, at)
  if (!word || word.subarray(0, 28).some((byte) => byte !== 0)) return undefined
  const value = new DataView(word.buffer, word.byteOffset + 28, 4).getUint32(0)
  return value <= body.length ? value : undefined
}

const bytesAt = (body: Uint8Array, at: number | undefined): Uint8Array | undefined => {
  if (at === undefined) return undefined
  const length = readLength(body, at)
  const start = at + wordBytes
  return length !== undefined && start + length <= body.length
    ? body.subarray(start, start + length)
    : undefined
}

/** A number or an address as a word of the contract ABI: 32 bytes, big-endian. */
export const toWord = (value: number | Uint8Array): Uint8Array => {
  const word = new Uint8Array(wordBytes)
  if (typeof value === 'number') new DataView(word.buffer).setUint32(28, value)
  else word.set(value, wordBytes - value.length)
  return word
}

/** `isValidSignature(bytes32 hash, bytes signature)` of ERC-1271, as call data. */
export const encodeQuestion = (hash: Uint8Array, signature: Uint8Array): Uint8Array =>
  concatBytes(
    magicValue,
    hash,
    toWord(2 * wordBytes),
    toWord(signature.length),
    signature,
    new Uint8Array(-signature.length & (wordBytes - 1)),
  )

/** The selector of that function, and what it returns for yes. */
export const magicValue = Uint8Array.of(0x16, 0x26, 0xba, 0x7e)
