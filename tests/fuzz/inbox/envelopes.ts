/**
 * Bad envelopes for one inbox, from the outside in: bytes that are no envelope, damaged good ones, sealed ones
 * with wrong metadata, authentic ones with wrong Olm messages, and decrypted ones with wrong payloads. The choices
 * come from the seed, the keys do not.
 */

import { deflateSync } from 'node:zlib'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { paddedMetadataBytes } from '../../../src/protocol/limits.ts'
import { must } from '../../support/checked.ts'
import { decodeFields, encodeFields, inTurn, set } from '../../support/envelope-forge/fields.ts'
import {
  type Changes,
  forge,
  type Line,
  type Sender,
  type Target,
  textContent,
} from '../../support/envelope-forge/forge.ts'
import { beginLine } from '../../support/envelope-forge/lines.ts'
import {
  damage,
  damageEnvelope,
  type Random,
  randomBytes,
  randomLength,
  randomValue,
  shuffleFields,
} from './damage.ts'

/** Good envelopes that others are made of: made anew now and then, as each is a while of work. */
const poolSize = 200
/** Of so many envelopes one replaces another of the pool. */
const renewEvery = 50
/** Over what one envelope may hold. */
const tooLargeBytes = 1_048_577

export type Kind =
  | 'random bytes'
  | 'a damaged envelope'
  | 'a replay'
  | 'wrong metadata'
  | 'a wrong Olm message'
  | 'a wrong payload'
  | 'a new session'
  | 'a good one'

/** The first ones cost microseconds, the others milliseconds. */
const shares: readonly (readonly [Kind, number])[] = [
  ['random bytes', 15],
  ['a damaged envelope', 55],
  ['a replay', 15],
  ['wrong metadata', 5],
  ['a wrong Olm message', 4],
  ['a wrong payload', 4],
  ['a new session', 1],
  ['a good one', 1],
]
const kinds = shares.flatMap(([kind, share]) => Array.from({ length: share }, () => kind))

export class Envelopes {
  readonly #random: Random
  readonly #senders: readonly Sender[]
  readonly #target: Target
  readonly #fallback: Uint8Array
  readonly #lines = new Map<string, Line>()
  readonly #pool: Uint8Array[] = []
  #made = 0

  constructor(
    random: Random,
    {
      senders,
      target,
      fallback,
    }: {
      readonly senders: readonly Sender[]
      readonly target: Target
      /** A prekey that makes any number of sessions. */
      readonly fallback: Uint8Array
    },
  ) {
    this.#random = random
    this.#senders = senders
    this.#target = target
    this.#fallback = fallback
    for (let nth = 0; nth < poolSize; nth += 1) this.#pool.push(this.#forge(this.#said()))
  }

  next(): { readonly kind: Kind; readonly message: Uint8Array } {
    const random = this.#random
    this.#made += 1
    if (this.#made % renewEvery === 0) {
      this.#pool[random.below(poolSize)] = this.#forge(this.#said())
    }
    const kind = random.pick(kinds)
    return { kind, message: this.#make(kind) }
  }

  #make(kind: Kind): Uint8Array {
    const random = this.#random
    switch (kind) {
      case 'random bytes':
        return randomBytes(random, random.chance(0.0005) ? tooLargeBytes : randomLength(random))
      case 'a damaged envelope':
        return damageEnvelope(random, random.pick(this.#pool), random.pick(this.#pool))
      case 'a replay':
        return random.pick(this.#pool)
      case 'wrong metadata':
        return this.#forge(this.#wrongMetadata())
      case 'a wrong Olm message':
        return this.#forge(this.#wrongOlm())
      case 'a wrong payload':
        return this.#forge(this.#wrongPayload())
      case 'a new session':
        this.#lines.delete(random.pick(this.#senders).id)
        return this.#forge(this.#said())
      case 'a good one':
        return this.#forge(this.#said())
    }
  }

  #forge(changes: Changes): Uint8Array {
    const from = this.#random.pick(this.#senders)
    const line = this.#lines.get(from.id) ?? beginLine(from, this.#fallback, this.#target)
    const { message, next } = forge(line, changes)
    this.#lines.set(from.id, next)
    return message
  }

  #said(): Changes {
    const text = encodeHex(randomBytes(this.#random, randomLength(this.#random) >> 3))
    return { payload: this.#at(set(4, textContent(text))) }
  }

  /** At a time of its own, so that it is another message. */
  #at(change: NonNullable<Changes['payload']>): NonNullable<Changes['payload']> {
    const composedNs = 1_800_000_000_000_000_000n + BigInt(this.#made)
    return (fields) => set(5, composedNs)(change(fields))
  }

  #wrongMetadata(): Changes {
    const random = this.#random
    const shuffle: NonNullable<Changes['metadata']> = (fields) => shuffleFields(random, fields)
    const flip: NonNullable<Changes['metadataBytes']> = (bytes) => damage(random, bytes, bytes)
    const wrong = random.pick<() => Changes>([
      () => ({ metadata: shuffle }),
      () => ({ signedMetadata: shuffle }),
      () => ({ metadata: set(1, `0x${encodeHex(randomBytes(random, 20))}`) }),
      () => ({ metadata: set(2, Buffer.from(randomBytes(random, 32)).toString('base64url')) }),
      () => ({ metadata: set(1 + random.below(6), randomValue(random)) }),
      () => ({ signature: (bytes) => damage(random, bytes, bytes) }),
      () => ({ signer: random.pick(this.#senders).identity }),
      () => ({ metadataBytes: flip }),
      () => ({ padMetadata: () => randomBytes(random, 320) }),
      () => ({ sealedMetadata: (bytes) => damage(random, bytes, bytes) }),
      () => ({ headerBytes: (bytes) => damage(random, bytes, bytes) }),
    ])()
    return { padMetadata: padAnyMetadata, ...wrong }
  }

  #wrongOlm(): Changes {
    const random = this.#random
    return random.pick<() => Changes>([
      () => ({ olm: (bytes) => damage(random, bytes, bytes) }),
      () => ({ olm: () => randomBytes(random, randomLength(random)) }),
      () => ({ padOlm: () => randomBytes(random, 512) }),
      () => ({ metadata: set(6, randomBytes(random, 32)) }),
      () => ({ metadata: inTurn(set(5, false), set(6, randomBytes(random, 32))) }),
      () => ({ metadata: set(5, random.chance(0.5)), olm: (bytes) => bytes.slice(1) }),
      () => ({ ciphertext: (bytes) => damage(random, bytes, bytes) }),
      () => ({ secondAad: randomBytes(random, 8) }),
      () => ({ headerHash: () => randomBytes(random, random.pick([0, 31, 32, 33])) }),
    ])()
  }

  #wrongPayload(): Changes {
    const random = this.#random
    const content = (bytes: Uint8Array): Changes => ({ payload: this.#at(set(4, bytes)) })
    return random.pick<() => Changes>([
      () => ({ payload: (fields) => shuffleFields(random, fields) }),
      () => ({ payload: set(1 + random.below(9), randomValue(random)) }),
      () => ({ payload: set(1, BigInt(random.below(5))) }),
      () => ({ payload: set(3, random.pick(['', 'dm:', 'mls:1', 'dm:0x0:0x0'])) }),
      () => ({ payloadBytes: (bytes) => damage(random, bytes, bytes) }),
      () => content(randomBytes(random, randomLength(random))),
      () => content(damage(random, textContent('hello'), textContent('hello there'))),
      () => content(this.#shuffledContent()),
      () => content(deflated(random)),
    ])()
  }

  #shuffledContent(): Uint8Array {
    const fields = decodeFields(textContent('hello'))
    return encodeFields(shuffleFields(this.#random, fields, [[5, 0n], [5, 1n], must(fields[0])]))
  }
}

/** What is too long is cut. */
const padAnyMetadata = (metadata: Uint8Array): Uint8Array => {
  const padded = new Uint8Array(paddedMetadataBytes)
  padded.set(metadata.slice(0, paddedMetadataBytes - 1))
  padded[Math.min(metadata.length, paddedMetadataBytes - 1)] = 0x80
  return padded
}

/** Compressed, and more when it is not. */
const deflated = (random: Random): Uint8Array =>
  encodeFields([
    ...decodeFields(textContent('')).filter(([no]) => no === 1),
    [4, deflateSync(new Uint8Array(random.below(200_000)).fill(0x61))],
    [5, BigInt(random.below(3))],
  ])
