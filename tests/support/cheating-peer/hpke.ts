/**
 * Sealing anything to anyone: the one HPKE context of an envelope (docs/protocol.md section 8; RFC 9180
 * base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305) by the platform's primitives.
 * The wasm seals only what is well formed; a cheat does not.
 */

import {
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
} from 'node:crypto'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'
import { sealTagBytes } from '../../../src/protocol/limits.ts'

const kem = Uint8Array.of(...encodeUtf8('KEM'), 0x00, 0x20)
const suite = Uint8Array.of(...encodeUtf8('HPKE'), 0x00, 0x20, 0x00, 0x01, 0x00, 0x03)
const none = new Uint8Array()

const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(
    createHmac('sha256', key)
      .update(concatBytes(...parts))
      .digest(),
  )

// RFC 9180 section 4.
const extract = (id: Uint8Array, salt: Uint8Array, label: string, secret: Uint8Array) =>
  hmac(salt, encodeUtf8('HPKE-v1'), id, encodeUtf8(label), secret)

/** At most 32 bytes: one block of HKDF-Expand. */
const expand = (id: Uint8Array, key: Uint8Array, label: string, info: Uint8Array, length: number) =>
  hmac(
    key,
    Uint8Array.of(0, length),
    encodeUtf8('HPKE-v1'),
    id,
    encodeUtf8(label),
    info,
    Uint8Array.of(1),
  ).subarray(0, length)

export interface SealingContext {
  /** The encapsulated key, 32 bytes. */
  readonly enc: Uint8Array
  /** Seals the next part. */
  seal(plaintext: Uint8Array, associatedData?: Uint8Array): Uint8Array
}

/** @param recipientKey X25519, 32 bytes. */
export const sealTo = (recipientKey: Uint8Array, info: Uint8Array): SealingContext => {
  const own = generateKeyPairSync('x25519')
  const enc = new Uint8Array(
    Buffer.from(own.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  )
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(recipientKey).toString('base64url') },
    format: 'jwk',
  })
  const dh = new Uint8Array(diffieHellman({ privateKey: own.privateKey, publicKey }))
  const prk = extract(kem, none, 'eae_prk', dh)
  const shared = expand(kem, prk, 'shared_secret', concatBytes(enc, recipientKey), 32)
  const context = concatBytes(
    Uint8Array.of(0),
    extract(suite, none, 'psk_id_hash', none),
    extract(suite, none, 'info_hash', info),
  )
  const secret = extract(suite, shared, 'secret', none)
  const key = expand(suite, secret, 'key', context, 32)
  const baseNonce = expand(suite, secret, 'base_nonce', context, 12)
  let turn = 0
  return {
    enc,
    seal: (plaintext, associatedData = none) => {
      const nonce = baseNonce.map((byte, at) => (at === 11 ? byte ^ turn : byte))
      turn += 1
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, {
        authTagLength: sealTagBytes,
      })
      cipher.setAAD(associatedData, { plaintextLength: plaintext.length })
      const sealed = concatBytes(cipher.update(plaintext), cipher.final())
      return concatBytes(sealed, cipher.getAuthTag())
    },
  }
}
