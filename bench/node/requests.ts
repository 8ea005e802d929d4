/** Requests of the load, encoded once: the parts that change are overwritten in place. */
import { randomBytes } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  ClaimPrekeysRequestSchema,
  PublishRequestSchema,
  QueryRequestSchema,
  SubscribeRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import type { TestInstallation } from '../../tests/node/support.ts'
import { frameOf } from './frames.ts'
import { encodeHeaders } from './http2-connection.ts'
import { messageBytes } from './inboxes.ts'

export type Rpc = 'Publish' | 'Query' | 'Subscribe' | 'ClaimPrekeys'

export const headersOf = (rpc: Rpc): Buffer =>
  encodeHeaders(`/padlock.v1.NodeService/${rpc}`, 'localhost')

/** No two processes, and no two runs on one store, publish the same bytes. */
const mark = randomBytes(8)

/** Bodies of publish requests with a number of envelopes, each to the next inbox. */
export class PublishBodies {
  readonly #template: Buffer
  readonly #topicAt: number[] = []
  readonly #messageAt: number[] = []
  readonly #topics: readonly Buffer[]
  #next: number
  #counter = 0

  constructor(topics: readonly string[], envelopes: number) {
    this.#topics = topics.map((topic) => Buffer.from(topic, 'latin1'))
    this.#next = Math.floor(Math.random() * topics.length)
    const message = randomBytes(messageBytes)
    const [topic = ''] = topics
    this.#template = frameOf(
      toBinary(
        PublishRequestSchema,
        create(PublishRequestSchema, {
          envelopes: Array.from({ length: envelopes }, () => ({ topic, message })),
        }),
      ),
    )
    for (let at = 0; ; ) {
      const topicAt = this.#template.indexOf(topic, at, 'latin1')
      if (topicAt === -1) break
      at = this.#template.indexOf(message, topicAt)
      this.#topicAt.push(topicAt)
      this.#messageAt.push(at)
    }
    if (this.#topicAt.length !== envelopes) throw new Error('the template has other envelopes')
  }

  next(): Buffer {
    const body = Buffer.from(this.#template)
    for (const [index, topicAt] of this.#topicAt.entries()) {
      this.#next = (this.#next + 1) % this.#topics.length
      this.#topics[this.#next]?.copy(body, topicAt)
      const messageAt = this.#messageAt[index] ?? 0
      mark.copy(body, messageAt)
      body.writeUIntBE(this.#counter, messageAt + 8, 6)
      this.#counter += 1
    }
    return body
  }

  /** What `next` wrote into the last envelope, as in its message. */
  static counterOf(message: Buffer): number | undefined {
    return message.subarray(0, 8).equals(mark) ? message.readUIntBE(8, 6) : undefined
  }

  /** The number in the envelope that `next` wrote last. */
  get latest(): number {
    return this.#counter - 1
  }
}

/** A page of somebody's inbox. */
export const queryBody = (
  owner: TestInstallation,
  afterSequence: number,
  nodeId: Uint8Array,
  expiresNs: bigint,
): Buffer =>
  frameOf(
    toBinary(
      QueryRequestSchema,
      create(QueryRequestSchema, {
        topics: [{ topic: owner.inbox, afterSequence: BigInt(afterSequence) }],
        proofs: [owner.proof(nodeId, expiresNs)],
      }),
    ),
  )

/** A stream of somebody's inbox; from its end if no sequence reaches that far. */
export const subscribeBody = (
  owner: TestInstallation,
  afterSequence: bigint,
  nodeId: Uint8Array,
  expiresNs: bigint,
): Buffer =>
  frameOf(
    toBinary(
      SubscribeRequestSchema,
      create(SubscribeRequestSchema, {
        topics: [{ topic: owner.inbox, afterSequence }],
        proofs: [owner.proof(nodeId, expiresNs)],
      }),
    ),
  )

/** A claim of one installation's prekey, with its own id. */
export const claimBody = (installationId: string): Buffer =>
  frameOf(
    toBinary(
      ClaimPrekeysRequestSchema,
      create(ClaimPrekeysRequestSchema, {
        claimId: randomBytes(16),
        installationIds: [installationId],
      }),
    ),
  )
