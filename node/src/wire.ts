/** Converts between the store's types and the wire (proto/padlock/v1/node.proto). */
import { create } from '@bufbuild/protobuf'
import {
  EdDsaSignatureSchema,
  PrekeyKind,
  type SignedPrekey as SignedPrekeyMessage,
  SignedPrekeySchema,
} from '../../src/gen/padlock/v1/contact_pb.ts'
import {
  type Envelope,
  EnvelopeSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
  type TopicCursor,
} from '../../src/gen/padlock/v1/node_pb.ts'
import type { SignedPrekey } from '../../src/protocol/prekey.ts'
import type { Cursor, StoredEnvelope } from './store/store.ts'
import type { StreamEvent } from './streams/subscription.ts'

// No topic reaches so far, so such a cursor is at the end; SQLite's integers have 63 bits.
const greatestSequence = 2n ** 63n - 1n

export const cursorOf = ({ topic, afterSequence }: TopicCursor): Cursor => ({
  topic,
  afterSequence: afterSequence > greatestSequence ? greatestSequence : afterSequence,
})

export const envelopeMessage = ({ topic, sequence, nodeNs, message }: StoredEnvelope): Envelope =>
  create(EnvelopeSchema, { topic, sequence, nodeNs, message })

export const prekeyMessage = (prekey: SignedPrekey): SignedPrekeyMessage =>
  create(SignedPrekeySchema, {
    kind: prekey.kind === 'fallback' ? PrekeyKind.FALLBACK : PrekeyKind.ONE_TIME,
    curve25519: prekey.key,
    createdNs: prekey.createdNs,
    signature: create(EdDsaSignatureSchema, { signature: prekey.signature }),
  })

export function eventMessage(event: StreamEvent): SubscribeResponse {
  switch (event.kind) {
    case 'started':
      return create(SubscribeResponseSchema, {
        event: { case: 'started', value: { nodeId: event.nodeId } },
      })
    case 'envelopes':
      return create(SubscribeResponseSchema, {
        event: {
          case: 'envelopes',
          value: { envelopes: event.envelopes.map(envelopeMessage) },
        },
      })
    case 'caught-up':
      return create(SubscribeResponseSchema, { event: { case: 'caughtUp', value: {} } })
    case 'heartbeat':
      return create(SubscribeResponseSchema, {
        event: { case: 'heartbeat', value: { nodeNs: event.nodeNs } },
      })
    case 'stock':
      return create(SubscribeResponseSchema, {
        event: { case: 'prekeyStock', value: event.stock },
      })
  }
}
