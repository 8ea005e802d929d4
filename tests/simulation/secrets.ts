/** Every secret of a simulation, noted where it is made: what must not be found anywhere else. */
import type { Crypto } from '../../src/crypto/crypto.ts'
import { encodeUtf8 } from '../../src/protocol/bytes.ts'
import { type Address, formatAddress } from '../../src/protocol/ids.ts'
import { Needles } from './needles.ts'

/** What is looked for everywhere that nobody but its owner may look. */
export type SecretClass =
  | 'vault key'
  | 'random key'
  | 'derived key'
  | 'identity'
  | 'key pair'
  | 'prekey secret'
  | 'sealing secret'
  | 'session'
  | 'session that sent'
  | 'session that received'
  | 'plaintext'
  | 'address'
  | 'address in bytes'
  | 'installation'

/** Of a secret of which 31 bytes lie somewhere, one such piece lies there whole. */
const pieceBytes = 16

export class Secrets {
  /** Keys and seeds, and the secret parts of identities. */
  readonly keys = new Needles()
  /** States of sessions, which hold public keys too. */
  readonly sessions = new Needles()
  readonly plaintexts = new Needles()
  /** Addresses and the ids of installations and conversations. */
  readonly names = new Needles()

  /** One of each class, to be planted. */
  readonly samples = new Map<SecretClass, Uint8Array>()
  /** Parts of states that are looked for already. */
  readonly #parts = new Set<string>()

  #addKey(name: SecretClass, secret: Uint8Array, publicParts: readonly Uint8Array[] = []): void {
    for (let at = 0; at + pieceBytes <= secret.length; at += pieceBytes) {
      const bytes = secret.slice(at, at + pieceBytes)
      // States have runs of zeros, and hold what is public too.
      if (new Set(bytes).size < 8) continue
      if (publicParts.some((part) => Buffer.from(part).includes(Buffer.from(bytes)))) continue
      const part = `${name} ${Buffer.from(bytes).toString('latin1')}`
      if (this.#parts.has(part)) continue
      this.#parts.add(part)
      this.keys.add({ name: `${name} at ${at}`, bytes })
      this.samples.set(name, secret.slice())
    }
  }

  /** Random bytes of the platform: those of a key's length are taken for one. */
  addRandom(bytes: Uint8Array, isVaultKey: boolean): void {
    if (bytes.length === 32) this.#addKey(isVaultKey ? 'vault key' : 'random key', bytes.slice())
  }

  addPlaintext(text: string): void {
    const bytes = encodeUtf8(text)
    this.samples.set('plaintext', bytes)
    this.plaintexts.add({ name: `plaintext ${text}`, bytes })
  }

  addAddress(address: Address): void {
    const bytes = Buffer.from(address.slice(2), 'hex')
    this.samples.set('address in bytes', bytes)
    this.names.add({ name: `address in bytes ${address}`, bytes })
    for (const text of [address, formatAddress(address)]) {
      this.samples.set('address', encodeUtf8(text))
      this.names.add({ name: `address ${text}`, bytes: encodeUtf8(text.slice(2)) })
    }
  }

  addInstallation(id: string): void {
    this.samples.set('installation', encodeUtf8(id))
    this.names.add({ name: `installation ${id}`, bytes: encodeUtf8(id) })
    this.names.add({ name: `installation ${id}, raw`, bytes: Buffer.from(id, 'base64url') })
  }

  /** The same cryptography; what it makes is noted. */
  watch(real: Crypto): Crypto {
    return {
      ...real,
      createIdentity: () => {
        const made = real.createIdentity()
        this.#addKey('identity', made.identity, [made.curve25519, made.ed25519])
        return made
      },
      createKeyPairs: (count) => {
        const made = real.createKeyPairs(count)
        for (const { secret, publicKey } of made) this.#addKey('key pair', secret, [publicKey])
        return made
      },
      deriveKey: (key, info) => {
        const derived = real.deriveKey(key, info)
        this.#addKey('derived key', derived)
        return derived
      },
      open: (secrets, installationId, envelopes) => {
        for (const secret of secrets) this.#addKey('sealing secret', secret)
        return real.open(secrets, installationId, envelopes)
      },
      createInboundSession: (request) => {
        this.#addKey('prekey secret', request.prekeySecret)
        const made = real.createInboundSession(request)
        if (made.ok) this.#addSession('session', made.state)
        return made
      },
      createOutboundSessions: (identity, requests) => {
        const made = real.createOutboundSessions(identity, requests)
        for (const one of made) if (one.ok) this.#addSession('session', one.state)
        return made
      },
      seal: (identity, requests) => {
        const sealed = real.seal(identity, requests)
        for (const one of sealed) if (one.ok) this.#addSession('session that sent', one.state)
        return sealed
      },
      decrypt: (state, messages) => {
        const decrypted = real.decrypt(state, messages)
        if (decrypted.ok) this.#addSession('session that received', decrypted.state)
        return decrypted
      },
    }
  }

  #addSession(name: SecretClass, state: Uint8Array): void {
    for (let at = 0; at + pieceBytes <= state.length; at += pieceBytes) {
      const bytes = state.slice(at, at + pieceBytes)
      const part = Buffer.from(bytes).toString('latin1')
      // Most of a state is as it was before.
      if (new Set(bytes).size < 8 || this.#parts.has(part)) continue
      this.#parts.add(part)
      this.sessions.add({ name: `${name} at ${at}`, bytes })
      this.samples.set(name, state.slice())
    }
  }
}
