/**
 * Step 3 of receiving (docs/protocol.md section 8): who sent an envelope, and whether they signed
 * its header. Envelopes of unknown senders are parked, and so are later envelopes from the same
 * sender.
 */

import { headerSignature } from '../../protocol/envelope.ts'
import type { Address } from '../../protocol/ids.ts'
import type { Consents } from '../consent/consents.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'
import type { Addressed, Authentic } from './envelope-stages.ts'
import { keyOfSender, type NewlyParked, type Parking } from './parking.ts'
import type { RejectionCounts } from './rejection-counts.ts'

export interface Authenticated {
  readonly authentic: readonly Authentic[]
  readonly toPark: readonly NewlyParked[]
}

export interface AuthenticationParts {
  readonly directory: Directory
  readonly parking: Parking
  readonly rejections: RejectionCounts
  readonly consents: Pick<Consents, 'allowed'>
}

export class Authentication {
  readonly #context: Context
  readonly #directory: Directory
  readonly #parking: Parking
  readonly #rejections: RejectionCounts
  readonly #consents: Pick<Consents, 'allowed'>
  /** Envelopes came from accounts whose chains have to confirm an installation. */
  readonly #onUnverified: (addresses: readonly Address[]) => void

  constructor(
    context: Context,
    { directory, parking, rejections, consents }: AuthenticationParts,
    onUnverified: (addresses: readonly Address[]) => void,
  ) {
    this.#context = context
    this.#directory = directory
    this.#parking = parking
    this.#rejections = rejections
    this.#consents = consents
    this.#onUnverified = onUnverified
  }

  /**
   * @param unsure accounts whose state may be stale: their envelopes wait for the next look-up.
   * @param wereParked whether these were parked: if so, an unknown sender is rejected.
   */
  async authenticate(
    addressed: readonly Addressed[],
    unsure: ReadonlySet<Address>,
    wereParked: boolean,
  ): Promise<Authenticated> {
    const candidates: Authentic[] = []
    const parkable: (Addressed & { readonly sender: KnownInstallation | undefined })[] = []
    const parkedNow = new Set<string>()
    const unverified = new Set<Address>()
    for (const one of addressed) {
      const { senderAddress: address, senderInstallationId: installationId } = one.metadata
      const sender = (await this.#directory.account(address)).get(installationId)
      const claimed = { address, installationId }
      const key = keyOfSender(claimed)
      const isBehind = parkedNow.has(key) || (!wereParked && this.#parking.has(claimed))
      const isUnknown =
        !sender ||
        sender.state === 'unknown' ||
        sender.state === 'unverified' ||
        sender.state === 'pending' ||
        unsure.has(address)
      if (sender?.state === 'unverified') unverified.add(address)
      if (!isBehind && sender && this.#isRevoked(sender, one)) {
        this.#rejections.count('sender_revoked')
      } else if (!isBehind && wereParked && isUnknown) this.#rejections.count('unknown_sender')
      else if (isBehind || isUnknown) {
        parkedNow.add(key)
        parkable.push({ ...one, sender })
      } else candidates.push({ ...one, sender })
    }
    if (unverified.size > 0) this.#onUnverified([...unverified])
    const signed = parkable.filter((one): one is Authentic => one.sender !== undefined)
    const verified = new Set<Addressed>(await this.#verify([...candidates, ...signed]))
    const accepted = await this.#consents.allowed(
      parkable.map(({ metadata }) => metadata.senderAddress),
    )
    return {
      authentic: candidates.filter((one) => verified.has(one)),
      // Where the keys are known, nobody else takes the place of what they signed.
      toPark: parkable.flatMap((one) => {
        const { senderAddress: address, senderInstallationId: installationId } = one.metadata
        const isForged = one.sender !== undefined && !verified.has(one)
        const isAccepted = accepted.has(address)
        return isForged ? [] : [{ ...one.envelope, address, installationId, isAccepted }]
      }),
    }
  }

  async #verify(candidates: readonly Authentic[]): Promise<readonly Authentic[]> {
    const { crypto, curves } = this.#context
    if (candidates.length === 0) return candidates
    const signatures = candidates.map(({ opened, metadata, sender }) =>
      headerSignature(opened.enc, metadata, sender.keys.ed25519),
    )
    // The directory accepted these keys by the strict rule; any RFC 8032 verifier may do the rest.
    const verified = (await curves?.verify(signatures)) ?? crypto.verify(signatures)
    return candidates.filter((_, at) => {
      if (verified[at]) return true
      this.#rejections.count('bad_header_signature')
      return false
    })
  }

  /**
   * Whether the sender was revoked when the node received this. Once live, a revoked installation
   * is always rejected, whatever time the node gives its envelopes.
   */
  #isRevoked({ revokedNs, isPast }: KnownInstallation, { envelope }: Addressed): boolean {
    if (revokedNs === 0n) return false
    const isLive = this.#context.status.current.state === 'live'
    return isPast || isLive || envelope.nodeNs >= revokedNs
  }
}
