/**
 * Strict Ed25519 verification, for everything that is stored for others (docs/protocol.md section 1).
 *
 * libsodium's `crypto_sign_verify_detached` is the strict rule as it is: it refuses S ≥ L
 * (`sc25519_is_canonical`), A that is not canonical or of small order, R of small order, and compares
 * R with the recomputed one byte by byte, which is the cofactorless equation and leaves no other
 * encoding of R (libsodium, src/libsodium/crypto_sign/ed25519/ref10/open.c). The vectors
 * `verify_strict` hold it to that. OpenSSL and WebCrypto are laxer and are not used here.
 */
import sodium from 'sodium-native'
import { ed25519SignatureBytes, keyBytes } from '../../../src/protocol/limits.ts'
import type { SignatureToVerify } from '../../../src/protocol/signing-bytes.ts'

/** Whether the signature verifies strictly; false too for a key or signature of another length. */
export function verifyStrict({ ed25519, message, signature }: SignatureToVerify): boolean {
  // The native code would accept a longer signature and read only its first 64 bytes.
  if (ed25519.length !== keyBytes || signature.length !== ed25519SignatureBytes) return false
  return sodium.crypto_sign_verify_detached(signature, message, ed25519)
}
