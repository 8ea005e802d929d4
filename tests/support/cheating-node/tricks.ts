/** The tricks of a cheating node, each by its name. Those that choose take a predicate or a change. */

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Code, ConnectError } from '@connectrpc/connect'
import { SignedPrekeySchema } from '../../../src/gen/padlock/v1/contact_pb.ts'
import {
  type ClaimedPrekey,
  ClaimedPrekeySchema,
  type Envelope,
  EnvelopeSchema,
  ErrorDetailSchema,
  PublishResponseSchema,
  type Receipt,
  type ReceiptSchema,
} from '../../../src/gen/padlock/v1/node_pb.ts'
import type { Trick } from './cheating-node.ts'

export type Chosen = (envelope: Envelope) => boolean

/** The greatest number that a field of 64 bits holds. */
export const greatest = 2n ** 64n - 1n

export const onTopic =
  (topic: string): Chosen =>
  (envelope) =>
    envelope.topic === topic

export const ofInboxes: Chosen = ({ topic }) => topic.startsWith('message-')

/** A prekey with one bit of its key turned. */
export const bent = (bytes: Uint8Array): Uint8Array =>
  bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte))

// What is served.

/** These are never served. */
export const withholds = (chosen: Chosen): Trick => ({
  envelopes: (envelopes) => envelopes.filter((envelope) => !chosen(envelope)),
})

/** These are served otherwise. */
export const rewrites = (chosen: Chosen, change: (envelope: Envelope) => Envelope): Trick => ({
  envelopes: (envelopes) => envelopes.map((one) => (chosen(one) ? change(one) : one)),
})

/** These are served so many times, one after the other, on streams and in queries. */
export const repeats = (chosen: Chosen, times: number): Trick => ({
  envelopes: (envelopes) =>
    envelopes.flatMap((one) => (chosen(one) ? Array.from({ length: times }, () => one) : [one])),
})

/** So many of these are held back; when the last one comes, all are served in the opposite order. */
export const reorders = (chosen: Chosen, count: number): Trick => {
  const held: Envelope[] = []
  return {
    envelopes: (envelopes) =>
      envelopes.flatMap((one) => {
        if (!chosen(one) || held.length === count) return [one]
        held.unshift(one)
        return held.length === count ? held : []
      }),
  }
}

/** Something is served behind each of these. */
export const adds = (
  chosen: Chosen,
  more: (envelope: Envelope) => Envelope | undefined,
): Trick => ({
  envelopes: (envelopes) =>
    envelopes.flatMap((one) => {
      const added = chosen(one) ? more(one) : undefined
      return added ? [one, added] : [one]
    }),
})

/** Numbers are changed, and so are cursors on their way back. */
export const renumbers = (
  chosen: Chosen,
  change: (sequence: bigint) => bigint,
  back: (sequence: bigint) => bigint = (sequence) => sequence,
): Trick => ({
  ...rewrites(chosen, (one) => ({ ...one, sequence: change(one.sequence) })),
  subscribe: (request) => ({
    ...request,
    topics: request.topics.map((one) =>
      chosen(create(EnvelopeSchema, { topic: one.topic }))
        ? { ...one, afterSequence: back(one.afterSequence) }
        : one,
    ),
  }),
})

/** A log of its own: every envelope becomes what `expand` makes of it, numbered without gaps. */
export const numbersAnew = (
  chosen: Chosen,
  expand: (envelope: Envelope) => readonly Uint8Array[],
): Trick => {
  const logs = new Map<string, { readonly real: bigint; readonly shown: Envelope[] }[]>()
  const lastOf = (log: readonly { readonly shown: readonly Envelope[] }[]) =>
    log.at(-1)?.shown.at(-1)?.sequence
  return {
    envelopes: (envelopes) =>
      envelopes.flatMap((one) => {
        if (!chosen(one)) return [one]
        const log = logs.get(one.topic) ?? []
        logs.set(one.topic, log)
        const known = log.find(({ real }) => real === one.sequence)
        if (known) return known.shown
        const first = (lastOf(log) ?? one.sequence - 1n) + 1n
        const shown = expand(one).map((message, at) => ({
          ...one,
          message,
          sequence: first + BigInt(at),
        }))
        log.push({ real: one.sequence, shown })
        return shown
      }),
    subscribe: (request) => ({
      ...request,
      topics: request.topics.map((one) => {
        const read = logs.get(one.topic)?.findLast(({ shown }) => {
          const last = shown.at(-1)?.sequence
          return last !== undefined && last <= one.afterSequence
        })
        return read ? { ...one, afterSequence: read.real } : one
      }),
    }),
  }
}

export const misdates = (chosen: Chosen, change: (nodeNs: bigint) => bigint): Trick =>
  rewrites(chosen, (one) => ({ ...one, nodeNs: change(one.nodeNs) }))

// Queries.

/** Every page says that there is more, and begins anew. */
export const promisesMore = (): Trick => ({
  query: async (request, real) => ({ ...(await real(request)), hasMore: true }),
})

/** Every page brings something new, and says that there is more. */
export const neverEnds = (): Trick => ({
  query: async (request, real) => {
    const page = await real(request)
    const [asked] = request.topics
    if (!asked) return page
    const envelope = create(EnvelopeSchema, {
      topic: asked.topic,
      sequence: asked.afterSequence + 1n,
      nodeNs: 1n,
      message: Uint8Array.of(1, 2, 3),
    })
    return { ...page, envelopes: [envelope], hasMore: true }
  },
})

/** No answer to a query but this. */
export const failsQueries = (error: () => ConnectError): Trick => ({
  query: () => Promise.reject(error()),
})

// Time.

/** Says another time in GetInfo and heartbeats. */
export const liesAboutTime = (change: (nodeNs: bigint) => bigint): Trick => ({
  info: (info) => ({ ...info, nodeNs: change(info.nodeNs) }),
  event: (event) => {
    if (event.event.case !== 'heartbeat') return [event]
    const value = { ...event.event.value, nodeNs: change(event.event.value.nodeNs) }
    return [{ ...event, event: { case: 'heartbeat', value } }]
  },
})

// Who it is.

/** Another id at each question; `inStream` where the stream begins. */
export const flapsNodeId = (next: () => Uint8Array, inStream: boolean): Trick => {
  let told: Uint8Array | undefined
  return {
    info: (info) => {
      told = next()
      return { ...info, nodeId: told }
    },
    event: (event) => {
      if (event.event.case !== 'started') return [event]
      const nodeId = inStream ? next() : (told ?? event.event.value.nodeId)
      return [{ ...event, event: { case: 'started', value: { ...event.event.value, nodeId } } }]
    },
  }
}

// Prekeys.

/** Claims are answered otherwise. */
export const answersClaims = (
  change: (claimed: readonly ClaimedPrekey[]) => readonly ClaimedPrekey[],
): Trick => ({
  claim: async (request, real) => {
    const answer = await real(request)
    return { ...answer, claimed: [...change(answer.claimed)] }
  },
})

/** Every claimed prekey is served as this, whosever it is. */
export const swapsPrekeys = (change: (claimed: ClaimedPrekey) => ClaimedPrekey['prekey']): Trick =>
  answersClaims((claimed) =>
    claimed.map(({ installationId, prekey }) => {
      const swapped = change(
        create(ClaimedPrekeySchema, { installationId, ...(prekey ? { prekey } : {}) }),
      )
      return create(ClaimedPrekeySchema, {
        installationId,
        ...(swapped ? { prekey: swapped } : {}),
      })
    }),
  )

/** What it has served once it serves forever: prekeys that are used up. */
export const servesStalePrekeys = (served: Map<string, ClaimedPrekey['prekey']>): Trick =>
  swapsPrekeys(({ installationId, prekey }) => {
    const first = served.get(installationId) ?? prekey
    served.set(installationId, first)
    return first
  })

/** Prekeys with another key than was signed. */
export const bendsPrekeys = (): Trick =>
  swapsPrekeys(
    ({ prekey }) =>
      prekey && create(SignedPrekeySchema, { ...prekey, curve25519: bent(prekey.curve25519) }),
  )

/** Says so much of the stock, whatever is there. */
export const claimsStock = (oneTimeLeft: number, newest: (createdNs: bigint) => bigint): Trick => ({
  event: (event) => {
    if (event.event.case !== 'prekeyStock') return [event]
    const { value } = event.event
    const newestCreatedNs = newest(value.newestCreatedNs)
    return [
      {
        ...event,
        event: { case: 'prekeyStock', value: { ...value, oneTimeLeft, newestCreatedNs } },
      },
    ]
  },
})

// Publishing.

/** Stores, and answers otherwise. */
export const answersPublish = (
  chosen: (topic: string) => boolean,
  change: (receipts: readonly Receipt[]) => readonly Receipt[],
): Trick => ({
  publish: async (request, real) => {
    const answer = await real(request)
    const isChosen = request.envelopes.some(({ topic }) => chosen(topic))
    return isChosen ? { ...answer, receipts: [...change(answer.receipts)] } : answer
  },
})

/** Says stored and drops it. */
export const saysStored = (
  chosen: (topic: string) => boolean,
  receipt: MessageInitShape<typeof ReceiptSchema>,
): Trick => ({
  publish: async (request, real) => {
    if (!request.envelopes.some(({ topic }) => chosen(topic))) return real(request)
    return create(PublishResponseSchema, { receipts: request.envelopes.map(() => receipt) })
  },
})

/** Refuses with any code. */
export const refuses = (
  chosen: (topic: string) => boolean,
  error: (envelopes: readonly { readonly topic: string }[]) => ConnectError,
): Trick => ({
  publish: async (request, real) => {
    if (request.envelopes.some(({ topic }) => chosen(topic))) throw error(request.envelopes)
    return real(request)
  },
})

/** A refusal with a code that may be anything. */
export const aRefusal = (status: Code, code: string, envelopeIndex = 0): ConnectError =>
  new ConnectError('no', status, undefined, [
    { desc: ErrorDetailSchema, value: { code, envelopeIndex, retryAfterMs: 0n } },
  ])

// Streams.

/** Never says that it has told everything. */
export const neverCatchesUp = (): Trick => ({
  event: (event) => (event.event.case === 'caughtUp' ? [] : [event]),
})

/** Says everything that is no envelope so many times. */
export const stutters = (times: number): Trick => ({
  event: (event) =>
    event.event.case === 'envelopes' ? [event] : Array.from({ length: times }, () => event),
})

/** Frames of at least so many bytes end in their middle, so many times. */
export const truncatesFrames = (bytes: number, times: number): Trick => {
  let left = times
  return {
    cutAt: (frame) => {
      if (frame.length < bytes || left === 0) return undefined
      left -= 1
      return Math.floor(frame.length / 2)
    },
  }
}
