/** An installation that nobody invited: its keys and grant are good, what it writes need not be. */

import { deflateSync } from 'node:zlib'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { encodeRetransmitRequest } from '../../../src/content/retransmit.ts'
import { makePrekeys } from '../../../src/engine/keys/prekey-uploads.ts'
import type { Network } from '../../../src/network/network.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import type { Address, InstallationId } from '../../../src/protocol/ids.ts'
import { contactTopic, prekeyTopic } from '../../../src/protocol/topics.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import { encodeFields, inTurn, set } from '../../support/envelope-forge/fields.ts'
import {
  type Changes,
  forge,
  type Line,
  type Sender,
  type Target,
  textContent,
} from '../../support/envelope-forge/forge.ts'
import { beginLine } from '../../support/envelope-forge/lines.ts'
import { makeSender } from '../../support/envelope-forge/sender.ts'
import type { Random } from '../random.ts'

/** Prekeys that a stranger leaves at the node: whoever claims one has told it something. */
export const strangersPrekeys = 20
/** Claims at once, and how often: faster than a client that is there fills its stock again. */
const claimsAtOnce = 60
const claimsLimit = 20
/** Just under what content may inflate to. */
const inflatedBytes = 8_000_000

/** Everything that a stranger may put into an inbox. */
export type Trick =
  | 'a message'
  | 'a bomb'
  | 'an unknown session'
  | 'a broken ratchet'
  | 'an unknown account'
  | 'an unknown installation'
  | 'one session more'
  | 'a request for retransmission'
  | 'an unknown version'
  | 'a wrong signature'
  | 'garbage'

/** How many of so many envelopes are which. */
const shares: Readonly<Record<Trick, number>> = {
  'a message': 20,
  'a bomb': 1,
  'an unknown session': 14,
  'a broken ratchet': 8,
  'an unknown account': 14,
  'an unknown installation': 6,
  'one session more': 12,
  'a request for retransmission': 6,
  'an unknown version': 8,
  'a wrong signature': 5,
  garbage: 6,
}
/** To pick from. */
export const tricks = Object.entries(shares).flatMap(([trick, share]) =>
  Array.from({ length: share }, () => trick as Trick),
)

export class Stranger {
  readonly #sender: Sender
  readonly #network: Network
  readonly #random: Random
  readonly #lines = new Map<string, Line>()
  /** Fallback prekeys of those it writes to, which make any number of sessions. */
  readonly #fallbacks = new Map<string, Uint8Array>()
  #bomb: Uint8Array | undefined

  private constructor(sender: Sender, network: Network, random: Random) {
    this.#sender = sender
    this.#network = network
    this.#random = random
  }

  /** Registered like any other. */
  static async register(
    network: Network,
    random: Random,
    wallet: PrivateKeyAccount,
  ): Promise<Stranger> {
    const { sender, bundle } = await makeSender(wallet)
    const { upload } = makePrekeys(
      {
        crypto,
        identity: sender.identity,
        installationId: sender.id,
        createdNs: BigInt(Date.now()) * 1_000_000n,
      },
      { count: strangersPrekeys, kind: 'first' },
    )
    await network.publish([
      { topic: contactTopic(sender.address), message: bundle },
      { topic: prekeyTopic(sender.id), message: upload },
    ])
    return new Stranger(sender, network, random)
  }

  get address(): Address {
    return this.#sender.address
  }

  get installationId(): InstallationId {
    return this.#sender.id
  }

  /** One envelope for an inbox. */
  async make(trick: Trick, to: Target): Promise<Uint8Array> {
    if (trick === 'garbage') return this.#random.bytes(1 + this.#random.below(4_000))
    if (trick === 'one session more') {
      return this.#forge(beginLine(this.#sender, await this.#fallbackOf(to), to), {})
    }
    const line = this.#lines.get(to.id) ?? beginLine(this.#sender, await this.#fallbackOf(to), to)
    const { message, next } = forge(line, this.#changesOf(trick))
    // Only what its peer decrypts moves a session on; a lost message of it would do no harm.
    this.#lines.set(to.id, next)
    return message
  }

  #forge(line: Line, changes: Changes): Uint8Array {
    return forge(line, { ...changes, payload: this.#payload(this.#text()) }).message
  }

  #changesOf(trick: Exclude<Trick, 'garbage' | 'one session more'>): Changes {
    const random = this.#random
    switch (trick) {
      case 'a message':
        return { payload: this.#payload(this.#text()) }
      case 'a bomb':
        this.#bomb ??= bombContent()
        return { payload: this.#payload(this.#bomb) }
      case 'an unknown session':
        return { metadata: inTurn(set(5, false), set(6, random.bytes(32))) }
      case 'a broken ratchet':
        return { olm: (olm) => olm.map((byte, at) => (at === olm.length - 1 ? byte ^ 1 : byte)) }
      case 'an unknown account':
        return { metadata: set(1, `0x${encodeHex(random.bytes(20))}`), padOlm: this.#long() }
      case 'an unknown installation':
        return { metadata: set(2, Buffer.from(random.bytes(32)).toString('base64url')) }
      case 'a request for retransmission': {
        const digests = Array.from({ length: 1 + random.below(500) }, () => random.bytes(32))
        return { payload: this.#payload(encodeRetransmitRequest(digests)) }
      }
      case 'an unknown version':
        return { payload: inTurn(set(1, 2n), set(4, random.bytes(1 + random.below(60_000)))) }
      case 'a wrong signature':
        return { signature: (signature) => signature.map((byte) => byte ^ 1) }
    }
  }

  /** Each at another time, so that each is another message. */
  #payload(content: Uint8Array): NonNullable<Changes['payload']> {
    return inTurn(
      set(4, content),
      set(5, BigInt(Date.now()) * 1_000_000n + BigInt(this.#random.below(1_000_000))),
    )
  }

  #text(): Uint8Array {
    return textContent(`a stranger says ${encodeHex(this.#random.bytes(this.#random.below(200)))}`)
  }

  /** Bytes that nobody can read, padded as a long message is. */
  #long(): NonNullable<Changes['padOlm']> {
    const bytes = new Uint8Array(1_024 * (1 + this.#random.below(32)))
    bytes[bytes.length - 1] = 0x80
    return () => bytes
  }

  /** Claims an inbox empty: what is left then is its fallback key. */
  async #fallbackOf(to: Target): Promise<Uint8Array> {
    const known = this.#fallbacks.get(to.id)
    if (known) return known
    for (let nth = 0; nth < claimsLimit; nth += 1) {
      const claims = Array.from({ length: claimsAtOnce }, () =>
        this.#network.claimPrekeys(this.#random.bytes(16), [to.id]),
      )
      const claimed = (await Promise.all(claims)).flat()
      const fallback = claimed.find(({ prekey }) => prekey?.kind === 'fallback')?.prekey
      if (!fallback) continue
      this.#fallbacks.set(to.id, fallback.key)
      return fallback.key
    }
    throw new Error('the stock has no end')
  }
}

/** Text of a few kilobytes that inflates to almost what is allowed. */
const bombContent = (): Uint8Array => {
  const text = deflateSync(new Uint8Array(inflatedBytes).fill(0x61))
  return encodeFields([
    [
      1,
      encodeFields([
        [1, 'xmtp.org'],
        [2, 'text'],
        [3, 1n],
      ]),
    ],
    [4, text],
    [5, 0n],
  ])
}

/** A wallet of the seed. */
export const strangersWallet = (random: Random): PrivateKeyAccount =>
  privateKeyToAccount(`0x${encodeHex(random.bytes(32))}`)
