/**
 * The RPCs of a node (docs/protocol.md section 5): checks what concerns a request as a whole, asks the
 * store, and says refusals in codes. What a topic accepts is in `rules/`, streams are in `streams/`.
 */
import { create } from '@bufbuild/protobuf'
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect'
import {
  EdDsaSignatureSchema,
  PrekeyKind,
  type SignedPrekey as SignedPrekeyMessage,
  SignedPrekeySchema,
} from '../../src/gen/padlock/v1/contact_pb.ts'
import {
  type ClaimPrekeysRequest,
  ClaimPrekeysResponseSchema,
  type Envelope,
  EnvelopeSchema,
  GetInfoResponseSchema,
  type InboxProof,
  NodeService,
  type PublishRequest,
  PublishResponseSchema,
  type QueryRequest,
  QueryResponseSchema,
  type SubscribeRequest,
  type SubscribeResponse,
  SubscribeResponseSchema,
  type TopicCursor,
} from '../../src/gen/padlock/v1/node_pb.ts'
import { parseInstallationId } from '../../src/protocol/ids.ts'
import {
  claimIdBytes,
  claimLimitInstallations,
  pageLimitBytes,
  pageLimitEnvelopes,
  requestLimitBytes,
  requestLimitEnvelopes,
  stockMinimum,
} from '../../src/protocol/limits.ts'
import type { SignedPrekey } from '../../src/protocol/prekey.ts'
import { type Chains, noChains } from './chains/chains.ts'
import { limitsOfInfo } from './info.ts'
import { refusal } from './refusal.ts'
import type { ContractWord } from './rules/contract-word.ts'
import { type Access, checkAccess } from './rules/inbox-access.ts'
import { defaultRetentionNs } from './store/lifetimes.ts'
import {
  type Cursor,
  type NewEnvelope,
  type PageLimit,
  type Store,
  type StoredEnvelope,
  StoreFailure,
} from './store/store.ts'
import { defaultLiveLimit } from './streams/live-buffer.ts'
import { LiveFeed } from './streams/live-feed.ts'
import { type StreamEvent, subscribe } from './streams/subscription.ts'
import { labelUndecodable } from './undecodable.ts'

export interface NodeServiceOptions {
  readonly store: Store
  /** Who is asked about contract signatures. */
  readonly chains?: Chains
  /** What GetInfo says the node is. */
  readonly version?: string
  /** How long inboxes keep their envelopes, as it is announced; the store forgets them. */
  readonly retentionNs?: bigint
  /** Time between two heartbeats; the protocol allows at most 25 s. */
  readonly heartbeatMs?: number
  /** How much may wait for a reader that does not keep up. */
  readonly liveLimit?: PageLimit
  /** Hears of failures that are not a client's. A line holds no message, key or signature. */
  readonly log?: (line: string) => void
}

export interface RunningService {
  /** Adds the RPCs to a router: of a server, or of an in-process transport. */
  routes(router: ConnectRouter): void
  /** How many subscriptions are open. */
  readonly subscribers: number
  /** Ends every subscription with `unavailable`. The store is the caller's to close. */
  close(): void
}

/** All message bytes of the largest request as base64, and the fields around them. */
const readMaxBytes = Math.ceil((requestLimitBytes * 4) / 3) + 1024 * 1024

export function createNodeService(options: NodeServiceOptions): RunningService {
  const { store, chains = noChains, heartbeatMs = 20_000 } = options
  const { version = 'padlock/1', retentionNs = defaultRetentionNs, log = () => {} } = options
  const { clock } = store
  const feed = new LiveFeed(store, options.liveLimit ?? defaultLiveLimit, stockMinimum)

  const access = (
    cursors: readonly TopicCursor[],
    proofs: readonly InboxProof[],
  ): AllowedAccess => {
    const topics = cursors.map(({ topic }) => topic)
    const checked = checkAccess({ topics, proofs, nodeId: store.nodeId, nowNs: clock() })
    if (!checked.ok) throw refusal(checked.code)
    return checked
  }

  /** Asks the chains that the rules turn out to need, one signature after another. */
  async function storeWithWords(envelopes: readonly NewEnvelope[]) {
    const words = new Map<number, ContractWord>()
    for (;;) {
      const outcome = await store.publish(envelopes, words)
      if (outcome.ok || 'code' in outcome) return outcome
      // A store that asks what it was told would ask for ever.
      if (words.has(outcome.envelopeIndex)) throw new StoreFailure('the same question again')
      words.set(outcome.envelopeIndex, await chains.verify(outcome.question))
    }
  }

  async function publish({ envelopes }: PublishRequest) {
    let bytes = 0
    for (const { message } of envelopes) bytes += message.length
    if (envelopes.length > requestLimitEnvelopes || bytes > requestLimitBytes) {
      throw refusal('too_large')
    }
    if (envelopes.length === 0) throw refusal('malformed')
    const outcome = await storeWithWords(
      envelopes.map(({ topic, message }) => ({ topic, message })),
    )
    if (!outcome.ok) throw refusal(outcome.code, { envelopeIndex: outcome.envelopeIndex })
    const receipts = outcome.receipts.map(({ sequence, nodeNs }) => ({ sequence, nodeNs }))
    return create(PublishResponseSchema, { receipts })
  }

  async function query({ topics, limit, proofs }: QueryRequest) {
    const allowed = access(topics, proofs)
    // Stock notices come by subscription, and the keys themselves only by claims (section 5).
    if (allowed.installationIds.length > 0) throw refusal('malformed')
    const count = limit === 0 ? pageLimitEnvelopes : Math.min(limit, pageLimitEnvelopes)
    const page = await store.page(topics.map(cursorOf), {
      envelopes: count,
      bytes: pageLimitBytes,
    })
    return create(QueryResponseSchema, {
      envelopes: page.envelopes.map(envelopeMessage),
      hasMore: page.hasMore,
    })
  }

  async function* openSubscription({ topics, proofs }: SubscribeRequest, signal: AbortSignal) {
    const allowed = access(topics, proofs)
    const served = new Set(allowed.topics)
    const events = subscribe({
      store,
      feed,
      clock,
      heartbeatMs,
      signal,
      cursors: topics.filter(({ topic }) => served.has(topic)).map(cursorOf),
      installationIds: allowed.installationIds,
    })
    for await (const event of events) yield eventMessage(event)
  }

  async function claimPrekeys({ claimId, installationIds }: ClaimPrekeysRequest) {
    if (installationIds.length > claimLimitInstallations) throw refusal('too_large')
    const idsAreGood = installationIds.every((id) => parseInstallationId(id).ok)
    if (claimId.length !== claimIdBytes || !idsAreGood) throw refusal('malformed')
    const claims = await store.claim(claimId, installationIds)
    return create(ClaimPrekeysResponseSchema, {
      claimed: claims.map(({ installationId, prekey }) => ({
        installationId,
        ...(prekey === undefined ? {} : { prekey: prekeyMessage(prekey) }),
      })),
    })
  }

  const getInfo = () =>
    create(GetInfoResponseSchema, {
      nodeId: store.nodeId,
      version,
      nodeNs: clock(),
      retentionNs,
      chainIds: [...store.chainIds],
      limits: limitsOfInfo,
    })

  /** What failed here becomes `unavailable`; a defect is told to the log and not to the caller. */
  const ours = new WeakSet<ConnectError>()
  const translate = (error: unknown): ConnectError => {
    const translated = error instanceof ConnectError ? error : describe(error)
    ours.add(translated)
    return translated
  }
  const describe = (error: unknown): ConnectError => {
    if (error instanceof StoreFailure) {
      log(`storage failed: ${error.message}`)
      return refusal('unavailable', { retryAfterMs: 1_000 })
    }
    log(`defect: ${error instanceof Error ? withoutMessage(error) : typeof error}`)
    return new ConnectError('internal error', Code.Internal)
  }
  const guard = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call
    } catch (error) {
      throw translate(error)
    }
  }

  return {
    routes(router) {
      router.service(
        NodeService,
        {
          publish: (request) => guard(publish(request)),
          query: (request) => guard(query(request)),
          claimPrekeys: (request) => guard(claimPrekeys(request)),
          getInfo,
          async *subscribe(request, context) {
            try {
              yield* openSubscription(request, context.signal)
            } catch (error) {
              // The reader went away while it was being written to: nobody is left to answer.
              if (isBrokenConnection(error)) return
              throw translate(error)
            }
          },
        },
        // What is stored here is ciphertext: compressing answers costs time and gains nothing.
        {
          readMaxBytes,
          compressMinBytes: 0xffffffff,
          requestGate: (context) => labelUndecodable(context, (error) => ours.has(error)),
        },
      )
    },
    get subscribers() {
      return feed.size
    },
    close() {
      feed.close()
    },
  }
}

type AllowedAccess = Extract<Access, { ok: true }>

// A cursor beyond what any topic reaches is at its end; SQLite's integers have 63 bits.
const greatestSequence = 2n ** 63n - 1n

const cursorOf = ({ topic, afterSequence }: TopicCursor): Cursor => ({
  topic,
  afterSequence: afterSequence > greatestSequence ? greatestSequence : afterSequence,
})

const envelopeMessage = ({ topic, sequence, nodeNs, message }: StoredEnvelope): Envelope =>
  create(EnvelopeSchema, { topic, sequence, nodeNs, message })

const prekeyMessage = ({ kind, key, createdNs, signature }: SignedPrekey): SignedPrekeyMessage =>
  create(SignedPrekeySchema, {
    kind: kind === 'fallback' ? PrekeyKind.FALLBACK : PrekeyKind.ONE_TIME,
    curve25519: key,
    createdNs,
    signature: create(EdDsaSignatureSchema, { signature }),
  })

function eventMessage(event: StreamEvent): SubscribeResponse {
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

/** What Node says when the other side of a stream is gone. */
const isBrokenConnection = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  /^(?:ERR_STREAM_|ERR_HTTP2_|ECONNRESET|EPIPE)/.test(String(error.code))

// A message may quote what was being read; where it happened is enough to find a defect.
const withoutMessage = (error: Error): string =>
  [error.name, ...(error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))].join('\n')
