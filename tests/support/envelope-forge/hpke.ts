/**
 * The sealing half of HPKE (RFC 9180, base mode, DHKEM X25519, HKDF-SHA256, ChaCha20-Poly1305) on
 * the primitives of node:crypto: apart from the one in wasm, so that a forger may seal what wasm
 * never would.
 */

import {
  createCipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from 'node:crypto'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'

/** RFC 8410: what stands before the 32 bytes of a public X25519 key in SPKI. */
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex')
/** And before those of a secret in PKCS #8. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex')
const kemSuite = Uint8Array.of(...encodeUtf8('KEM'), 0, 0x20)
const suite = Uint8Array.of(...encodeUtf8('HPKE'), 0, 0x20, 0, 1, 0, 3)
const empty = new Uint8Array()
const tagBytes = 16

const hmac = (key: Uint8Array, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHmac('sha256', key).update(data).digest())

/** RFC 9180 section 4. */
const labeledExtract = (id: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array) =>
  hmac(salt, concatBytes(encodeUtf8('HPKE-v1'), id, encodeUtf8(label), ikm))

/** One block of HKDF is 32 bytes, and nothing here is longer. */
const labeledExpand = (
  id: Uint8Array,
  secret: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
) => {
  const labeled = concatBytes(
    Uint8Array.of(0, length),
    encodeUtf8('HPKE-v1'),
    id,
    encodeUtf8(label),
    info,
  )
  return hmac(secret, concatBytes(labeled, Uint8Array.of(1))).subarray(0, length)
}

const privateKeyOf = (secret: Uint8Array): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([pkcs8Prefix, secret]),
    format: 'der',
    type: 'pkcs8',
  })

/** X25519 with a raw key; throws where the result would be all zero. */
const agree = (privateKey: KeyObject, publicKey: Uint8Array): Uint8Array =>
  new Uint8Array(
    diffieHellman({
      privateKey,
      publicKey: createPublicKey({
        key: Buffer.concat([spkiPrefix, publicKey]),
        format: 'der',
        type: 'spki',
      }),
    }),
  )

const raw = (der: Buffer): Uint8Array => new Uint8Array(der.subarray(-32))

/** One context: each `seal` takes the next nonce. */
export interface Sealer {
  /** The encapsulated key, 32 bytes. */
  readonly enc: Uint8Array
  seal(plaintext: Uint8Array, aad: Uint8Array): Uint8Array
}

/** A context to the owner of an X25519 key. */
export const sealerTo = (publicKey: Uint8Array, info: Uint8Array): Sealer => {
  // Not node:crypto's own chance, which the simulation could not repeat.
  const secret = privateKeyOf(globalThis.crypto.getRandomValues(new Uint8Array(32)))
  const enc = raw(createPublicKey(secret).export({ format: 'der', type: 'spki' }))

  const dh = labeledExtract(kemSuite, empty, 'eae_prk', agree(secret, publicKey))
  const shared = labeledExpand(kemSuite, dh, 'shared_secret', concatBytes(enc, publicKey), 32)
  const context = concatBytes(
    Uint8Array.of(0),
    labeledExtract(suite, empty, 'psk_id_hash', empty),
    labeledExtract(suite, empty, 'info_hash', info),
  )
  const schedule = labeledExtract(suite, shared, 'secret', empty)
  const key = labeledExpand(suite, schedule, 'key', context, 32)
  const baseNonce = labeledExpand(suite, schedule, 'base_nonce', context, 12)

  let sequence = 0
  return {
    enc,
    seal: (plaintext, aad) => {
      const nonce = baseNonce.slice()
      nonce[11] = (nonce[11] ?? 0) ^ sequence
      sequence += 1
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes })
      cipher.setAAD(aad, { plaintextLength: plaintext.length })
      const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return new Uint8Array(sealed)
    },
  }
}
