/**
 * Anyone may read contact and revoked topics, only its owner an inbox (docs/protocol.md section 5).
 */
import type { InboxProof as InboxProofMessage } from '../../../src/gen/padlock/v1/node_pb.ts'
import { deriveInstallationId, type InstallationId } from '../../../src/protocol/ids.ts'
import {
  checkInboxProof,
  type InboxProof,
  readInboxProof,
} from '../../../src/protocol/inbox-proof.ts'
import { topicsLimit } from '../../../src/protocol/limits.ts'
import { parseTopic } from '../../../src/protocol/topics.ts'
import { verifyStrict } from './ed25519.ts'
import { passOn, type Refused, refused } from './verdict.ts'

/** A checked request of a reader. */
export type Access =
  | {
      readonly ok: true
      /** Topics to serve envelopes of. */
      readonly topics: readonly string[]
      /** Installations to give stock notices of. */
      readonly installationIds: readonly string[]
    }
  | Refused

export interface AccessRequest {
  readonly topics: readonly string[]
  readonly proofs: readonly InboxProofMessage[]
  readonly nodeId: Uint8Array
  readonly nowNs: bigint
}

/**
 * Checks that the reader may read all of these topics now; the first that it may not decides the
 * code.
 */
export function checkAccess(request: AccessRequest): Access {
  if (request.topics.length > topicsLimit || request.proofs.length > topicsLimit) {
    return refused('too_large')
  }
  // Two cursors on one topic have no meaning.
  if (new Set(request.topics).size !== request.topics.length) {
    return { ...refused('malformed'), field: 'topics, one of them twice' }
  }
  const owners = new ProofBook(request)
  const topics: string[] = []
  const installationIds: string[] = []
  for (const [at, topic] of request.topics.entries()) {
    const parts = parseTopic(topic)
    if (!parts.ok) return { ...passOn(parts), field: `topics[${at}].topic` }
    const { kind } = parts.value
    if (kind === 'message' || kind === 'prekey') {
      if (!owners.proves(parts.value.installationId)) return refused('bad_proof')
    }
    if (parts.value.kind === 'prekey') installationIds.push(parts.value.installationId)
    else topics.push(topic)
  }
  return { ok: true, topics, installationIds }
}

/** The proofs of a request by installation; each is verified once, on demand. */
class ProofBook {
  readonly #request: AccessRequest
  readonly #proven = new Map<InstallationId, boolean>()
  #proofs: Map<InstallationId, InboxProof> | undefined

  constructor(request: AccessRequest) {
    this.#request = request
  }

  proves(installationId: InstallationId): boolean {
    const known = this.#proven.get(installationId)
    if (known !== undefined) return known
    const proven = this.#verify(installationId)
    this.#proven.set(installationId, proven)
    return proven
  }

  #verify(installationId: InstallationId): boolean {
    this.#proofs ??= readProofs(this.#request.proofs)
    const proof = this.#proofs.get(installationId)
    if (proof === undefined) return false
    const { nodeId, nowNs } = this.#request
    const signature = checkInboxProof({ proof, nodeId, installationId, nowNs })
    return signature.ok && verifyStrict(signature.value)
  }
}

function readProofs(messages: readonly InboxProofMessage[]): Map<InstallationId, InboxProof> {
  const proofs = new Map<InstallationId, InboxProof>()
  for (const message of messages) {
    const proof = readInboxProof(message)
    if (!proof.ok) continue
    const id = deriveInstallationId(proof.value.keys)
    if (id.ok) proofs.set(id.value, proof.value)
  }
  return proofs
}
