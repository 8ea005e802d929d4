/**
 * What the requests of a batch depend on: the topics to lock and the state to load.
 *
 * Locks stop others, so strangers get few: an envelope that is too long, or that its account did not
 * sign, locks its own topic at most, and not what it names.
 */
import type { Address, InstallationId } from '../../../../src/protocol/ids.ts'
import {
  contactTopic,
  messageLimitBytes,
  messageTopic,
  parseTopic,
  prekeyTopic,
  revokedTopic,
} from '../../../../src/protocol/topics.ts'
import { parseVouch } from '../../../../src/protocol/vouch.ts'
import type { SignatureStatus } from '../../rules/signature-status.ts'
import { bundleIn, isGranted, isRevocationSigned, revocationIn } from '../../rules/signed.ts'
import { digestOf } from '../publishing.ts'
import type { NewEnvelope } from '../store.ts'
import { pairKey } from './ledger.ts'

/** An installation of an account. */
interface Pair {
  readonly address: string
  readonly id: InstallationId
}

export class Needs {
  /** Topics to lock, including those to be written. */
  readonly topics = new Set<string>()
  readonly installations = new Set<string>()
  readonly addresses = new Set<string>()
  readonly pairs = new Map<string, Pair>()
  /** Pairs to be revoked. The topics of those that belong together are to be locked too. */
  readonly revoked: Pair[] = []
  /** Installations that may get a new sealing key. */
  readonly granted = new Set<string>()
  /** Installations that prekeys are uploaded for. */
  readonly uploading = new Set<string>()
  readonly digests: { readonly topic: string; readonly digest: Uint8Array }[] = []

  /** @param status what a chain said about the envelope's signature, if it was asked. */
  add({ topic, message }: NewEnvelope, status: SignatureStatus | undefined): void {
    const parts = parseTopic(topic)
    // The rules refuse such envelopes without any state.
    if (!parts.ok || message.length > messageLimitBytes[parts.value.kind]) return
    this.topics.add(topic)
    this.digests.push({ topic, digest: digestOf(message) })
    switch (parts.value.kind) {
      case 'contact':
        this.#addContact(parts.value.address, message, status)
        return
      case 'revoked':
        this.#addRevocation(parts.value.address, message, status)
        return
      case 'prekey':
        this.installations.add(parts.value.installationId)
        this.uploading.add(parts.value.installationId)
        return
      case 'message':
        this.installations.add(parts.value.installationId)
    }
  }

  #addContact(address: Address, message: Uint8Array, status: SignatureStatus | undefined): void {
    const vouch = parseVouch(message)
    if (vouch.ok) {
      this.#addAccount(address)
      for (const id of [vouch.value.installationId, vouch.value.voucherId]) {
        this.#addInstallation(address, id)
      }
    }
    const bundle = bundleIn(message)
    if (!bundle.ok) return
    this.installations.add(bundle.value.installationId)
    if (bundle.value.address !== address) return
    this.#addAccount(address)
    if (!isGranted(bundle.value, status)) return
    this.#addInstallation(address, bundle.value.installationId)
    this.granted.add(bundle.value.installationId)
  }

  #addRevocation(address: Address, message: Uint8Array, status: SignatureStatus | undefined): void {
    const revocation = revocationIn(message)
    if (!revocation.ok || revocation.value.address !== address) return
    this.#addAccount(address)
    if (!isRevocationSigned(revocation.value, status)) return
    for (const id of revocation.value.installationIds) {
      const pair = { address, id }
      this.installations.add(id)
      this.pairs.set(pairKey(address, id), pair)
      this.revoked.push(pair)
    }
  }

  #addAccount(address: Address): void {
    this.addresses.add(address)
    this.topics.add(contactTopic(address))
    this.topics.add(revokedTopic(address))
  }

  #addInstallation(address: Address, id: InstallationId): void {
    this.installations.add(id)
    this.pairs.set(pairKey(address, id), { address, id })
    this.addTopicsOf(id)
  }

  /** Envelopes and keys of an installation rest on whether it is revoked. */
  addTopicsOf(id: InstallationId): void {
    this.topics.add(messageTopic(id))
    this.topics.add(prekeyTopic(id))
  }
}
