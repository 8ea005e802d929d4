/**
 * Builds the payloads of messages for one request. A session gets the heads of both accounts once
 * (docs/protocol.md section 8), so some sessions get a payload with heads, others one without.
 */

import type { Address, ConversationId } from '../../protocol/ids.ts'
import { buildPayload } from '../../protocol/payload.ts'
import { addTold, type Heads, type OwnHeads, wasTold } from '../membership/heads.ts'
import { audienceOf } from '../messages/audience.ts'

/** The content of a message, the same for every recipient. */
export interface PayloadContent {
  readonly conversationId: ConversationId
  readonly content: Uint8Array
  readonly composedNs: bigint
  /** The digest of the envelope that this one replaces. */
  readonly retransmits?: Uint8Array
}

export class PayloadBuilder {
  readonly #messages: readonly PayloadContent[]
  readonly #heads: Heads
  readonly #own: Address
  readonly #current = new Map<ConversationId, OwnHeads | undefined>()
  /** By message and whether it carries heads; content may be large, so each is built once. */
  readonly #built = new Map<string, Uint8Array>()

  constructor(messages: readonly PayloadContent[], heads: Heads, own: Address) {
    this.#messages = messages
    this.#heads = heads
    this.#own = own
  }

  /** The payloads for one session, in order, and its `headsTold` after them. */
  of(indexes: readonly number[], toldBefore: Uint8Array | undefined) {
    let headsTold = toldBefore
    const built = indexes.flatMap((at) => {
      const message = this.#messages[at]
      if (!message) return []
      const heads = this.#headsOf(message.conversationId)
      if (!heads || wasTold(headsTold, heads.digest)) return [this.#build(at, message, undefined)]
      headsTold = addTold(headsTold, heads.digest)
      return [this.#build(at, message, heads)]
    })
    return { headsTold, built }
  }

  #headsOf(id: ConversationId): OwnHeads | undefined {
    if (!this.#current.has(id)) {
      const { participants } = audienceOf(id, this.#own)
      this.#current.set(id, this.#heads.of(id, participants))
    }
    return this.#current.get(id)
  }

  #build(at: number, message: PayloadContent, heads: OwnHeads | undefined): Uint8Array {
    const name = `${at} ${heads !== undefined}`
    const payload =
      this.#built.get(name) ??
      buildPayload({
        convoId: message.conversationId,
        contentBytes: message.content,
        composedNs: message.composedNs,
        retransmits: message.retransmits,
        heads: heads?.heads,
        nodeId: heads?.nodeId,
      })
    this.#built.set(name, payload)
    return payload
  }
}
