/**
 * Reads every topic from its first envelope to its last and checks numbers, times, digests, sizes,
 * and the signatures on contact and revoked topics. Gathers what the tables must hold.
 */
import {
  type ContactBundle,
  parseContactBundle,
  sealingKeySignature,
  verifyGrant,
} from '../../../../src/protocol/contact.ts'
import type { Address } from '../../../../src/protocol/ids.ts'
import { digestBytes } from '../../../../src/protocol/limits.ts'
import {
  type ParsedRevocation,
  parseRevocation,
  verifyRevocation,
} from '../../../../src/protocol/revocation.ts'
import {
  messageLimitBytes,
  parseTopic,
  type TopicKind,
  type TopicParts,
} from '../../../../src/protocol/topics.ts'
import { isVouch, parseVouch, vouchSignature } from '../../../../src/protocol/vouch.ts'
import { chainOf, type WalletAssociation } from '../../../../src/protocol/wallet-association.ts'
import { verifyStrict } from '../../rules/ed25519.ts'
import { bytesOf, integerOf, type Row, textOf } from '../rows.ts'
import type { Expected } from './expected.ts'
import type { Findings } from './report.ts'

/** Topics and their envelopes, in order. The messages of inboxes do not leave the database. */
export const logStatement = `
SELECT topic.id, topic.name, topic.sequence AS latest, topic.node_ns AS latest_ns,
  envelope.sequence, envelope.node_ns, CAST(envelope.size AS bigint) AS size, envelope.digest,
  CAST(length(envelope.message) AS bigint) AS actual_size,
  CASE WHEN envelope.message IS NOT NULL THEN sha256(envelope.message) END AS actual_digest,
  CASE WHEN topic.name LIKE 'contact-%' OR topic.name LIKE 'revoked-%'
    THEN envelope.message END AS message
FROM topic LEFT JOIN envelope ON envelope.topic = topic.id
ORDER BY topic.id, envelope.sequence`

interface Topic {
  readonly id: bigint
  readonly name: string
  /** Absent if the name is not that of a topic. */
  readonly parts: TopicParts | undefined
  readonly latest: bigint
  readonly latestNs: bigint
  /** The last envelope read; absent before the first. */
  seen: { readonly sequence: bigint; readonly nodeNs: bigint } | undefined
}

export interface LogOptions {
  readonly findings: Findings
  readonly expected: Expected
  /** Whether later envelopes may have been dropped before one of this time. */
  readonly mayLackAfter: (kind: TopicKind, nodeNs: bigint) => boolean
}

export class LogCheck {
  readonly #findings: Findings
  readonly #expected: Expected
  readonly #mayLackAfter: LogOptions['mayLackAfter']
  #topic: Topic | undefined

  constructor({ findings, expected, mayLackAfter }: LogOptions) {
    this.#findings = findings
    this.#expected = expected
    this.#mayLackAfter = mayLackAfter
  }

  /** The next row of `logStatement`. */
  take(row: Row): void {
    const id = integerOf(row, 'id')
    if (this.#topic?.id !== id) this.#begin(id, row)
    const topic = this.#topic
    if (topic === undefined || row.sequence === null) return
    this.#findings.counts.envelopes += 1
    const sequence = integerOf(row, 'sequence')
    const nodeNs = integerOf(row, 'node_ns')
    this.#checkOrder(topic, sequence, nodeNs)
    const isSound = this.#checkBytes(topic, sequence, row)
    if (isSound && row.message !== null) {
      this.#checkContent(topic, sequence, nodeNs, Uint8Array.from(bytesOf(row, 'message')))
    }
    topic.seen = { sequence, nodeNs }
  }

  /** After the last row. */
  end(): void {
    const topic = this.#topic
    if (topic === undefined) return
    const { seen, latest, latestNs } = topic
    if (seen === undefined) {
      if (staysForEver(topic) && latest > 0n)
        this.#report(topic, 'all of its envelopes are missing')
    } else if (seen.sequence < latest && !this.#mayLack(topic, seen.nodeNs)) {
      this.#report(topic, `the last is missing, up to ${latest}`, seen.sequence)
    } else if (seen.sequence > latest) {
      this.#report(topic, `the topic counts only ${latest}`, seen.sequence)
    } else if (seen.sequence === latest && seen.nodeNs !== latestNs) {
      this.#report(topic, 'the topic has another time for its latest envelope', seen.sequence)
    }
  }

  #begin(id: bigint, row: Row): void {
    this.end()
    const name = textOf(row, 'name')
    const parsed = parseTopic(name)
    const latest = integerOf(row, 'latest')
    const parts = parsed.ok ? parsed.value : undefined
    const latestNs = integerOf(row, 'latest_ns')
    this.#topic = { id, name, parts, latest, latestNs, seen: undefined }
    this.#findings.counts.topics += 1
    if (parts === undefined) this.#report(this.#topic, 'this is not the name of a topic')
    else if ('installationId' in parts && latest > 0n) {
      this.#expected.addTopic(name, parts.installationId)
    }
  }

  #checkOrder(topic: Topic, sequence: bigint, nodeNs: bigint): void {
    const { seen } = topic
    if (seen === undefined) {
      if (staysForEver(topic) && sequence !== 1n) {
        this.#report(topic, 'the envelopes before it are missing', sequence)
      } else if (sequence < 1n) this.#report(topic, 'numbers begin with 1', sequence)
      return
    }
    if (sequence !== seen.sequence + 1n && !this.#mayLack(topic, seen.nodeNs)) {
      this.#report(topic, `envelopes between ${seen.sequence} and it are missing`, sequence)
    }
    if (nodeNs < seen.nodeNs)
      this.#report(topic, 'its time is before that of the previous', sequence)
  }

  #mayLack(topic: Topic, nodeNs: bigint): boolean {
    return !staysForEver(topic) && this.#mayLackAfter(topic.parts?.kind ?? 'message', nodeNs)
  }

  #checkBytes(topic: Topic, sequence: bigint, row: Row): boolean {
    const size = integerOf(row, 'size')
    const digest = bytesOf(row, 'digest')
    this.#findings.counts.bytes += Number(size)
    if (digest.length !== digestBytes) {
      this.#report(topic, 'the digest is not 32 bytes', sequence)
      return false
    }
    const kind = topic.parts?.kind
    if (kind !== undefined && size > BigInt(messageLimitBytes[kind])) {
      this.#report(topic, `it is larger than a ${kind} envelope may be`, sequence)
    }
    if (row.actual_size === null) {
      if (kind !== 'prekey') this.#report(topic, 'the message is missing', sequence)
      return false
    }
    if (kind === 'prekey')
      this.#report(topic, 'the bytes of an upload are not to be kept', sequence)
    if (integerOf(row, 'actual_size') !== size) {
      this.#report(topic, 'the size is not that of the message', sequence)
    }
    if (!Buffer.from(digest).equals(bytesOf(row, 'actual_digest'))) {
      this.#report(topic, 'the digest is not that of the message', sequence)
      return false
    }
    return true
  }

  #checkContent(topic: Topic, sequence: bigint, nodeNs: bigint, message: Uint8Array): void {
    const { parts } = topic
    const wrong = (what: string): void => this.#report(topic, what, sequence)
    if (parts?.kind === 'contact') {
      this.#findings.counts.bundles += 1
      if (isVouch(message)) {
        this.#checkVouch(parts.address, message, wrong)
        return
      }
      const bundle = parseContactBundle(message)
      if (!bundle.ok) wrong(`this is not a contact bundle: ${bundle.why}`)
      else if (bundle.value.address !== parts.address) wrong('the bundle is of another address')
      else this.#checkBundle(bundle.value, sequence, nodeNs, wrong)
    } else if (parts?.kind === 'revoked') {
      this.#findings.counts.revocations += 1
      const revocation = parseRevocation(message)
      if (!revocation.ok) wrong(`this is not a revocation: ${revocation.why}`)
      else if (revocation.value.address !== parts.address) {
        wrong('the revocation is of another address')
      } else this.#checkRevocation(revocation.value, wrong)
    }
  }

  #checkBundle(
    bundle: ContactBundle,
    sequence: bigint,
    nodeNs: bigint,
    wrong: (what: string) => void,
  ): void {
    const { installationId, address, sealingKey } = bundle
    if (!this.#isSigned(bundle, () => verifyGrant(bundle).ok)) {
      wrong("the wallet's signature does not verify")
    }
    if (!verifyStrict(sealingKeySignature(bundle))) {
      wrong("the sealing key's signature does not verify")
    }
    this.#checkWallet(bundle, wrong)
    const known = this.#expected.installation(installationId)
    if (known !== undefined) {
      if (textOf(known, 'address') !== address) {
        wrong('the installation is known under another address')
        return
      }
      if (integerOf(known, 'sealing_created_ns') >= sealingKey.createdNs) {
        wrong('the sealing key is not newer than the one before')
      }
    }
    this.#expected.addInstallation(
      {
        id: installationId,
        address,
        ed25519: bundle.keys.ed25519,
        sealingCreatedNs: sealingKey.createdNs,
        nodeNs,
      },
      sequence,
    )
  }

  #checkVouch(address: Address, message: Uint8Array, wrong: (what: string) => void): void {
    const vouch = parseVouch(message)
    if (!vouch.ok) {
      wrong(`this is not a vouch: ${vouch.why}`)
      return
    }
    const { installationId, voucherId } = vouch.value
    const [vouched, voucher] = [installationId, voucherId].map((id) => {
      const known = this.#expected.installation(id)
      return known !== undefined && textOf(known, 'address') === address ? known : undefined
    })
    if (vouched === undefined || voucher === undefined) {
      wrong('the vouch is of an installation that the account never granted')
      return
    }
    if (!verifyStrict(vouchSignature(vouch.value, address, bytesOf(voucher, 'ed25519')))) {
      wrong("the voucher's signature does not verify")
    }
    if (!this.#expected.addVouch(installationId)) wrong('the installation had a vouch before')
  }

  #checkRevocation(revocation: ParsedRevocation, wrong: (what: string) => void): void {
    if (!this.#isSigned(revocation, () => verifyRevocation(revocation).ok)) {
      wrong("the wallet's signature does not verify")
    }
    this.#checkWallet(revocation, wrong)
    let isNews = false
    for (const id of revocation.installationIds) {
      if (this.#expected.addRevocation(revocation.address, id)) isNews = true
    }
    if (!isNews) wrong('it revokes nothing that was not revoked before')
  }

  #isSigned({ signature }: WalletAssociation, verify: () => boolean): boolean {
    if (signature.kind === 'eip191') return verify()
    this.#findings.counts.contractSignatures += 1
    return true
  }

  #checkWallet({ address, signature }: WalletAssociation, wrong: (what: string) => void): void {
    const chainId = chainOf(signature)?.toString() ?? null
    if (!this.#expected.addAccount(address, chainId)) {
      wrong('contracts of another chain sign for the account')
    }
  }

  #report({ name }: Topic, what: string, sequence?: bigint): void {
    this.#findings.add(name, what, sequence)
  }
}

/** Section 11: the node never drops anything from these. */
const staysForEver = ({ parts }: Topic): boolean =>
  parts?.kind === 'contact' || parts?.kind === 'revoked'
