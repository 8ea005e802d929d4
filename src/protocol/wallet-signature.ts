/**
 * Signatures of plain wallets: the EIP-191 hash of a text, and recovering its signer
 * (docs/protocol.md section 3). Contract accounts (ERC-1271) need a chain and are checked
 * elsewhere.
 */
import { keccak_256 } from '@noble/hashes/sha3.js'
import { Point, recoverPublicKey } from '@noble/secp256k1'
import { concatBytes, encodeHex, encodeUtf8 } from './bytes.ts'
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

/** Some wallets give v as 0 or 1; the wire allows only 27 and 28 (section 4). */
export const normaliseV = (signature: Uint8Array): Uint8Array => {
  const normal = Uint8Array.from(signature)
  const v = normal[64]
  if (normal.length === 65 && (v === 0 || v === 1)) normal[64] = v + 27
  return normal
}
