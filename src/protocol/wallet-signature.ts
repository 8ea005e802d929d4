/**
 * Signatures of plain wallets: the EIP-191 hash of a text, and recovering its signer
 * (docs/protocol.md section 3). Contract accounts (ERC-1271) need a chain and are checked
 * elsewhere.
 */
import { keccak_256 } from '@noble/hashes/sha3.js'
import { Point, recoverPublicKey } from '@noble/secp256k1'
import { concatBytes, decodeHex, encodeHex, encodeUtf8 } from './bytes.ts'
import { type Address, parseCanonicalAddress } from './ids.ts'
import { walletSignatureBytes } from './limits.ts'
import { bad, type Checked, good } from './result.ts'

/** Keccak-256 of the text as `personal_sign` frames it (EIP-191, version 0x45): 32 bytes. */
export function hashPersonalMessage(text: string): Uint8Array {
  const bytes = encodeUtf8(text)
  const prefix = encodeUtf8(`\x19Ethereum Signed Message:\n${bytes.length}`)
  return keccak_256(concatBytes(prefix, bytes))
}

/**
 * Whether the bytes have the form of a wallet's signature: r, s and v, 65 bytes, v 27 or 28. Other
 * values of v (0, 1, EIP-155) and the short form of EIP-2098 are refused, so that each signature
 * has only one form.
 */
export function checkWalletSignatureForm(signature: Uint8Array): Checked<Uint8Array> {
  if (signature.length !== walletSignatureBytes)
    return bad('malformed', 'signature is not 65 bytes')
  const v = signature[64]
  return v === 27 || v === 28 ? good(signature) : bad('malformed', 'v is neither 27 nor 28')
}

/**
 * The address whose key signed this hash. `malformed` for another form; `bad_signature` for r or s
 * out of range, a high s, or a point that does not exist.
 */
export function recoverAddress(hash: Uint8Array, signature: Uint8Array): Checked<Address> {
  const form = checkWalletSignatureForm(signature)
  if (!form.ok) return form
  // EIP-2: allowing a high s would give every signature a second form, and s ≤ n/2 costs a wallet
  // nothing.
  if (toBigInt(signature.subarray(32, 64)) > Point.CURVE().n >> 1n) {
    return bad('bad_signature', 's is high')
  }
  const recovery = signature[64] === 28 ? 1 : 0
  try {
    const compressed = recoverPublicKey(
      concatBytes(Uint8Array.of(recovery), signature.subarray(0, 64)),
      hash,
      { prehash: false },
    )
    const publicKey = Point.fromBytes(compressed).toBytes(false)
    // The last 20 bytes of the hash of the uncompressed key without its leading 0x04.
    return parseCanonicalAddress(`0x${encodeHex(keccak_256(publicKey.subarray(1)).subarray(12))}`)
  } catch {
    return bad('bad_signature', 'r or s out of range, or nothing to recover')
  }
}

const toBigInt = (bytes: Uint8Array): bigint => BigInt(`0x${encodeHex(bytes)}`)

/**
 * A wallet's signature in the one form that the wire allows (section 3): EIP-2098 takes 64 bytes, v
 * may be 0 or 1, 31 or 32 (for a compressed key), 35 and more (EIP-155), and s in the upper half of
 * the order, whose negative signs the same with the other v. Anything else is returned as it is.
 */
export const normaliseSignature = (signature: Uint8Array): Uint8Array => {
  const isShort = signature.length === 64
  if (!isShort && signature.length !== walletSignatureBytes) return signature
  const normal = new Uint8Array(walletSignatureBytes)
  normal.set(signature)
  const isOdd = isShort ? (normal[32] ?? 0) >> 7 === 1 : parityOf(normal[64] ?? 0)
  if (isOdd === undefined) return signature
  if (isShort) normal[32] = (normal[32] ?? 0) & 0x7f
  const order = Point.CURVE().n
  const s = toBigInt(normal.subarray(32, 64))
  const isHigh = s > order >> 1n && s < order
  if (isHigh) normal.set(decodeHex((order - s).toString(16).padStart(64, '0')) ?? [], 32)
  normal[64] = isOdd === isHigh ? 27 : 28
  return normal
}

/** Whether the point of r has an odd y, by the v of a signature; undefined for any other v. */
const parityOf = (v: number): boolean | undefined => {
  if (v <= 1) return v === 1
  if (v === 27 || v === 28) return v === 28
  if (v === 31 || v === 32) return v === 32
  return v >= 35 ? (v - 35) % 2 === 1 : undefined
}
