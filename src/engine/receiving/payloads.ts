/**
 * Step 5 of receiving (docs/protocol.md section 8): reads decrypted payloads and decides what
 * becomes of them. Stores nothing: the caller saves the result with the ratchets, whatever it is.
 */

import { readInternalType } from '../../content/registry.ts'
import { decodeRetransmitRequest } from '../../content/retransmit.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { messageIdFromDigest, messageIdInput } from '../../protocol/ids.ts'
import { outcomeOf } from '../../protocol/outcomes.ts'
import { checkPayload } from '../../protocol/payload.ts'
import type { HeadsClaim } from '../membership/heads.ts'
import type { NewMessage } from '../messages/message-records.ts'
import type {
  Requester,
  RetransmittedEnvelope,
  UndecryptableEnvelope,
} from '../retransmission/requester.ts'
import type { RetransmitRequest } from '../retransmission/responder.ts'
import type { Context } from '../runtime/context.ts'
import type { Decrypted } from './envelope-stages.ts'
import type { RejectionCounts } from './rejection-counts.ts'

/** A message and the envelope that it came in. */
export interface ReceivedMessage extends NewMessage {
  readonly envelope: UndecryptableEnvelope
}

/** The result of a batch of decrypted envelopes. */
export interface ReadBatch {
  readonly messages: readonly ReceivedMessage[]
  /** Retransmissions that are not, or no longer, expected: duplicates, unless the message is new. */
  readonly unexpected: readonly NewMessage[]
  /** What a later release may understand. */
  readonly newer: readonly Extract<Decrypted, { ok: true }>[]
  readonly claims: readonly HeadsClaim[]
  /** Requests from others for what they could not decrypt. */
  readonly requests: readonly RetransmitRequest[]
  /** Envelopes that could not be decrypted here, and may be requested again. */
  readonly failed: readonly UndecryptableEnvelope[]
  /** Retransmissions that we requested. */
  readonly came: readonly RetransmittedEnvelope[]
}

export class PayloadReader {
  readonly #context: Context
  readonly #rejections: RejectionCounts
  readonly #requester: Requester

  constructor(context: Context, rejections: RejectionCounts, requester: Requester) {
    this.#context = context
    this.#rejections = rejections
    this.#requester = requester
  }

  read(results: readonly Decrypted[]): ReadBatch {
    const newer: Extract<Decrypted, { ok: true }>[] = []
    const claims: HeadsClaim[] = []
    const requests: RetransmitRequest[] = []
    const failed: UndecryptableEnvelope[] = []
    const came: RetransmittedEnvelope[] = []
    const drafts: Omit<ReceivedMessage, 'id'>[] = []
    const unexpected: Omit<ReceivedMessage, 'id'>[] = []
    const { account } = this.#context
    for (const result of results) {
      const { metadata, envelope, sender, opened } = result.from
      const { nodeNs } = envelope
      if (!result.ok) {
        this.#rejections.count(result.code)
        const isUndecryptable = outcomeOf(result.code).kind === 'undecryptable'
        if (isUndecryptable) failed.push({ from: sender, digest: result.digest, nodeNs })
        continue
      }
      const payload = checkPayload(result.payload, metadata.senderAddress, account.address)
      if (!payload.ok) {
        this.#rejections.count(payload.code)
        if (payload.code === 'unsupported_version') newer.push(result)
        continue
      }
      const { heads, nodeId, retransmits, contentBytes } = payload.value
      // Already compared in wasm; again here, in case the two protobuf readers ever differ.
      if (!equalBytes(payload.value.headerHash, opened.headerHash)) {
        this.#rejections.count('header_mismatch')
        continue
      }
      if (heads.length > 0) claims.push({ claimant: sender, heads, nodeId })
      // Installations talk to each other in these types; a type that this release lacks is dropped.
      const internalType = readInternalType(contentBytes)
      if (internalType) {
        const digests = decodeRetransmitRequest(internalType, contentBytes)
        if (digests) requests.push({ from: sender, sessionId: metadata.sessionId, digests })
        continue
      }
      // A retransmission counts only if it was requested, and takes the place of the missed
      // message.
      const missedNs = retransmits && this.#requester.askedFor(sender.id, retransmits)
      const isUnexpected = retransmits !== undefined && missedNs === undefined
      if (retransmits && !isUnexpected) came.push({ id: sender.id, digest: retransmits })
      const list = isUnexpected ? unexpected : drafts
      list.push({
        conversationId: payload.value.convoId,
        sender: metadata.senderAddress,
        senderInstallation: metadata.senderInstallationId,
        composedNs: payload.value.composedNs,
        nodeNs: missedNs ?? nodeNs,
        content: contentBytes,
        state: metadata.senderAddress === account.address ? 'sent' : 'received',
        envelope: { from: sender, digest: result.digest, nodeNs },
      })
    }
    return {
      messages: this.#name(drafts),
      unexpected: this.#name(unexpected),
      newer,
      claims,
      requests,
      failed,
      came,
    }
  }

  /** Computes the ids of drafts; of two with the same id the first counts. */
  #name(drafts: readonly Omit<ReceivedMessage, 'id'>[]): readonly ReceivedMessage[] {
    const digests = this.#context.crypto.digest(
      drafts.map((draft) =>
        messageIdInput({
          convoId: draft.conversationId,
          senderAddress: draft.sender,
          senderInstallationId: draft.senderInstallation,
          composedNs: draft.composedNs,
          contentBytes: draft.content,
        }),
      ),
    )
    const ids = new Set<string>()
    return drafts.flatMap((draft, at): ReceivedMessage[] => {
      const digest = digests[at]
      if (!digest) return []
      const id = messageIdFromDigest(digest)
      if (ids.has(id)) {
        this.#rejections.count('duplicate_message')
        return []
      }
      ids.add(id)
      return [{ ...draft, id }]
    })
  }
}
