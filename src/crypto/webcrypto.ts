/** Curves on WebCrypto where the browser has them: half the time of wasm in Chromium. */

import { concatBytes, decodeHex, encodeBase64Url } from '../protocol/bytes.ts'
import type { Crypto, Curves, SignatureToVerify } from './crypto.ts'

/** How many imported public keys to keep in memory. */
const maxKeys = 1_000

/** RFC 8410 section 7: what precedes the 32 bytes of an X25519 secret in PKCS #8. */
const pkcs8Prefix = decodeHex('302e020100300506032b656e04220420') ?? new Uint8Array()

const copy = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

/** WebCrypto, or wasm alone if this browser lacks one of the two curves. */
export const findCurves = async (crypto: Crypto): Promise<Curves | undefined> => {
  const { subtle } = globalThis.crypto
  const secrets = new WeakMap<Uint8Array, Promise<CryptoKey | undefined>>()
  const verifiers = new Map<string, Promise<CryptoKey>>()

  /**
   * Undefined if this browser refuses the secret: WebKitGTK 2.50 refuses all whose first byte is
   * zero.
   */
  const importSecret = (secret: Uint8Array): Promise<CryptoKey | undefined> => {
    const known = secrets.get(secret)
    if (known !== undefined) return known
    const pkcs8 = copy(concatBytes(pkcs8Prefix, secret))
    const key = subtle
      .importKey('pkcs8', pkcs8, 'X25519', false, ['deriveBits'])
      .catch(() => undefined)
    secrets.set(secret, key)
    return key
  }

  const importVerifier = (ed25519: Uint8Array): Promise<CryptoKey> => {
    const name = encodeBase64Url(ed25519)
    const known = verifiers.get(name)
    if (known !== undefined) return known
    const key = subtle.importKey('raw', copy(ed25519), 'Ed25519', false, ['verify'])
    if (verifiers.size >= maxKeys) verifiers.clear()
    verifiers.set(name, key)
    return key
  }

  const agreeOne = async (key: CryptoKey, publicKey: Uint8Array): Promise<Uint8Array> => {
    try {
      const other = await subtle.importKey('raw', copy(publicKey), 'X25519', false, [])
      return new Uint8Array(await subtle.deriveBits({ name: 'X25519', public: other }, key, 256))
    } catch {
      // Also the all-zero result of a point of small order (RFC 7748 section 6.1).
      return new Uint8Array(32)
    }
  }

  const verifyOne = async (item: SignatureToVerify): Promise<boolean> => {
    try {
      const key = await importVerifier(item.ed25519)
      return await subtle.verify('Ed25519', key, copy(item.signature), copy(item.message))
    } catch {
      return false
    }
  }

  const curves: Curves = {
    agree: async (secret, publicKeys) => {
      const key = await importSecret(secret)
      return key && Promise.all(publicKeys.map((publicKey) => agreeOne(key, publicKey)))
    },
    verify: (signatures) => Promise.all(signatures.map(verifyOne)),
  }
  return (await isRight(curves, crypto)) ? curves : undefined
}

/** Compares one agreement and one signature with wasm: a browser that differs is not used. */
const isRight = async (curves: Curves, crypto: Crypto): Promise<boolean> => {
  try {
    const [a, b] = crypto.createKeyPairs(2)
    const { identity, ed25519 } = crypto.createIdentity()
    const message = Uint8Array.of(1, 2, 3)
    const [signature] = crypto.sign(identity, [message])
    if (!a || !b || !signature) return false
    const [left] = (await curves.agree(a.secret, [b.publicKey])) ?? []
    const [right] = (await curves.agree(b.secret, [a.publicKey])) ?? []
    const isSame = left?.some((byte) => byte !== 0) === true
    const [good, bad] = await curves.verify([
      { ed25519, message, signature },
      { ed25519, message: Uint8Array.of(1), signature },
    ])
    return (
      isSame && left.every((byte, at) => byte === right?.[at]) && good === true && bad === false
    )
  } catch {
    return false
  }
}
