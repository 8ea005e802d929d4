/** Every secret of a simulation, noted where it is made: what must not be found anywhere else. */
import type { Crypto } from '../../src/crypto/crypto.ts'
import { encodeUtf8 } from '../../src/protocol/bytes.ts'
import { type Address, formatAddress } from '../../src/protocol/ids.ts'
import { Needles } from './needles.ts'

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

  /** The last of each kind, to be planted. */
  readonly samples = {
    key: new Uint8Array(),
    session: new Uint8Array(),
    plaintext: new Uint8Array(),
    name: new Uint8Array(),
  }

  #addKey(name: string, secret: Uint8Array, publicParts: readonly Uint8Array[] = []): void {
    for (let at = 0; at + pieceBytes <= secret.length; at += pieceBytes) {
      const bytes = secret.slice(at, at + pieceBytes)
      // States have runs of zeros, and hold what is public too.
      if (new Set(bytes).size < 8) continue
      if (publicParts.some((part) => Buffer.from(part).includes(Buffer.from(bytes)))) continue
      this.keys.add({ name: `${name} at ${at}`, bytes })
      this.samples.key = secret.slice()
    }
  }

  /** Random bytes of the platform: those of a key's length are taken for one. */
  addRandom(bytes: Uint8Array): void {
    if (bytes.length === 32) this.#addKey('random key', bytes.slice())
  }

  addPlaintext(text: string): void {
    this.samples.plaintext = encodeUtf8(text)
    this.plaintexts.add({ name: text, bytes: this.samples.plaintext })
  }

  addAddress(address: Address): void {
    const bytes = Buffer.from(address.slice(2), 'hex')
    this.names.add({ name: address, bytes })
    for (const text of [address, formatAddress(address)]) {
      this.names.add({ name: text, bytes: encodeUtf8(text.slice(2)) })
    }
  }

  addInstallation(id: string): void {
    this.samples.name = encodeUtf8(id)
    this.names.add({ name: id, bytes: this.samples.name })
    this.names.add({ name: `${id}, raw`, bytes: Buffer.from(id, 'base64url') })
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
        this.#addKey(`key of ${info}`, derived)
        return derived
      },
      createInboundSession: (request) => {
        const made = real.createInboundSession(request)
        if (made.ok) this.#addSession(made.state)
        return made
      },
      createOutboundSessions: (identity, requests) => {
        const made = real.createOutboundSessions(identity, requests)
        for (const one of made) if (one.ok) this.#addSession(one.state)
        return made
      },
    }
  }

  #addSession(state: Uint8Array): void {
    for (let at = 0; at + pieceBytes <= state.length; at += pieceBytes) {
      const bytes = state.slice(at, at + pieceBytes)
      if (new Set(bytes).size < 8) continue
      this.sessions.add({ name: `session at ${at}`, bytes })
      this.samples.session = state.slice()
    }
  }
}
