/**
 * The RPCs of a node (docs/protocol.md section 5): checks a request as a whole, asks the store, and
 * answers refusals by their codes. `rules/` says what a topic accepts, `streams/` has the streams.
 */
import { create } from '@bufbuild/protobuf'
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect'
import {
  type ClaimPrekeysRequest,
  ClaimPrekeysResponseSchema,
  GetInfoResponseSchema,
  type InboxProof,
  NodeService,
  type PublishRequest,
  PublishResponseSchema,
  type QueryRequest,
  QueryResponseSchema,
  type SubscribeRequest,
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
import { parseTopic } from '../../src/protocol/topics.ts'
import { createAskingStore } from './asking-store.ts'
import { createCalls, isBrokenConnection } from './calls.ts'
import { type Chains, noChains } from './chains/chains.ts'
import { limitsOfInfo } from './info.ts'
import { answerShareKey, queryWaitMs } from './limits/answer-memory.ts'
import type { DataRoom } from './limits/data-room.ts'
import type { Limited, RateLimits } from './limits/rate-limits.ts'
import { ObservedStore } from './observe/observed-store.ts'
import { type Observer, type StoredKind, silentObserver } from './observe/observer.ts'
import { refusal } from './refusal.ts'
import { type Access, checkAccess } from './rules/inbox-access.ts'
import { callerKey } from './server/caller.ts'
import { defaultRetentionNs } from './store/lifetimes.ts'
import { type PageLimit, type Store, StoreFailure } from './store/store.ts'
import { defaultLiveLimit } from './streams/live-buffer.ts'
import { LiveFeed } from './streams/live-feed.ts'
import { sizeOf, subscribe } from './streams/subscription.ts'
import { cursorOf, envelopeMessage, eventMessage, prekeyMessage } from './wire.ts'

export interface NodeServiceOptions {
  readonly store: Store
  /** The chains to ask about contract signatures. */
  readonly chains?: Chains
  /** What GetInfo says the node is. */
  readonly version?: string
  /** How long inboxes keep their envelopes, as GetInfo says; the store drops them. */
  readonly retentionNs?: bigint
  /** Time between two heartbeats; the protocol allows at most 25 s. */
  readonly heartbeatMs?: number
  /** Largest backlog of one subscriber. */
  readonly liveLimit?: PageLimit
  /**
   * Largest backlog of all subscribers together, in bytes; beyond it the slowest are disconnected.
   */
  readonly liveTotalBytes?: number
  /** What a caller may ask of this process; by default anything. */
  readonly limits?: RateLimits
  /** What may still be stored; by default anything. */
  readonly room?: DataRoom
  /** Gets the events: calls, what is stored and streamed, failures that are not a client's. */
  readonly observer?: Observer
}

export interface RunningService {
  /** Adds the RPCs to a router: of a server, or of an in-process transport. */
  routes(router: ConnectRouter): void
  /** How many subscriptions are open. */
  readonly subscribers: number
  /** The backlog of all of them, in bytes. */
  readonly waitingBytes: number
  /** Ends every subscription with `unavailable`. The store is the caller's to close. */
  close(): void
}

/** Somebody has to make room, or retention. */
const noRoomRetryMs = 10 * 60_000

/** All message bytes of the largest request as base64, and the fields around them. */
const readMaxBytes = Math.ceil((requestLimitBytes * 4) / 3) + 1024 * 1024

export function createNodeService(options: NodeServiceOptions): RunningService {
  const { chains = noChains, heartbeatMs = 20_000, limits, observer = silentObserver } = options
  const { version = 'padlock/1', retentionNs = defaultRetentionNs } = options
  const store =
    options.observer === undefined ? options.store : new ObservedStore(options.store, observer)
  const { clock } = store
  const feed = new LiveFeed(
    store,
    options.liveLimit ?? defaultLiveLimit,
    stockMinimum,
    options.liveTotalBytes,
  )
  const calls = createCalls(observer, limits)
  const admit = (limited: Limited | undefined, caller: string): void => {
    if (limited !== undefined) throw calls.refuse(limited, caller)
  }

  const access = (
    cursors: readonly TopicCursor[],
    proofs: readonly InboxProof[],
  ): AllowedAccess => {
    const topics = cursors.map(({ topic }) => topic)
    const checked = checkAccess({ topics, proofs, nodeId: store.nodeId, nowNs: clock() })
    if (!checked.ok) throw refusal(checked.code, checked)
    return checked
  }

  const storeAsking = createAskingStore({
    store,
    chains,
    observer,
    admit: (caller) => admit(limits?.chainQuestion(caller), caller),
  })

  async function publish({ envelopes }: PublishRequest, caller: string) {
    let bytes = 0
    for (const { message } of envelopes) bytes += message.length
    if (envelopes.length > requestLimitEnvelopes || bytes > requestLimitBytes) {
      throw refusal('too_large')
    }
    if (envelopes.length === 0) throw refusal('malformed', { field: 'envelopes' })
    if (options.room?.refuses(caller, envelopes)) {
      observer.limited('data', 1, caller)
      throw refusal('unavailable', { retryAfterMs: noRoomRetryMs })
    }
    admit(limits?.publish(caller, envelopes), caller)
    const outcome = await storeAsking(
      envelopes.map(({ topic, message }) => ({ topic, message })),
      caller,
    ).catch((error: unknown) => {
      // It will be sent again, and is not to wait for what an outage used up.
      if (error instanceof StoreFailure) limits?.notStored(envelopes)
      throw error
    })
    if (!outcome.ok) {
      const { code, envelopeIndex, why } = outcome
      const topic = envelopes[envelopeIndex]?.topic ?? ''
      const part = parseTopic(topic).ok ? 'message' : 'topic'
      throw refusal(code, { envelopeIndex, why, field: `envelopes[${envelopeIndex}].${part}` })
    }
    for (const [index, { topic, message }] of envelopes.entries()) {
      if (outcome.receipts[index]?.fresh === true) observer.stored(kindOf(topic), message.length)
    }
    const receipts = outcome.receipts.map(({ sequence, nodeNs }) => ({ sequence, nodeNs }))
    return create(PublishResponseSchema, { receipts })
  }

  async function query({ topics, limit, proofs }: QueryRequest, { values }: HandlerContext) {
    const caller = values.get(callerKey)
    admit(limits?.query(caller, topics.length, proofs.length), caller)
    const allowed = access(topics, proofs)
    // Stock notices come by subscription, and the keys themselves only by claims (section 5).
    if (allowed.installationIds.length > 0) {
      const at = topics.findIndex(({ topic }) => topic.startsWith('prekey-'))
      throw refusal('malformed', { field: `topics[${at}].topic` })
    }
    const count = limit === 0 ? pageLimitEnvelopes : Math.min(limit, pageLimitEnvelopes)
    const room = values.get(answerShareKey)
    if (!(await room.take(pageLimitBytes, queryWaitMs))) {
      throw calls.refuse({ kind: 'answers', retryAfterMs: 1_000 }, caller)
    }
    const page = await store.page(topics.map(cursorOf), {
      envelopes: count,
      bytes: pageLimitBytes,
    })
    room.keep(sizeOf(page.envelopes))
    return create(QueryResponseSchema, {
      envelopes: page.envelopes.map(envelopeMessage),
      hasMore: page.hasMore,
    })
  }

  async function* openSubscription(
    { topics, proofs }: SubscribeRequest,
    { signal, values }: HandlerContext,
  ) {
    const caller = values.get(callerKey)
    const place = limits?.openStream(caller, proofs.length)
    if (place !== undefined && place.kind !== 'open') throw calls.refuse(place, caller)
    try {
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
        room: values.get(answerShareKey),
      })
      for await (const event of events) {
        if (event.kind === 'envelopes') observer.streamed(event.envelopes.length)
        yield eventMessage(event)
      }
    } finally {
      place?.close()
    }
  }

  async function claimPrekeys({ claimId, installationIds }: ClaimPrekeysRequest, caller: string) {
    if (installationIds.length > claimLimitInstallations) throw refusal('too_large')
    if (claimId.length !== claimIdBytes) throw refusal('malformed', { field: 'claim_id' })
    const bad = installationIds.findIndex((id) => !parseInstallationId(id).ok)
    if (bad !== -1) throw refusal('malformed', { field: `installation_ids[${bad}]` })
    const allowed = limits?.claim(caller, claimId, installationIds)
    if (allowed !== undefined && allowed.kind !== 'claim') throw calls.refuse(allowed, caller)
    const claims = await store.claim(claimId, installationIds, allowed)
    const overBudget = claims.filter(({ isOverBudget }) => isOverBudget === true).length
    const limited = (allowed?.fallbackOnly.size ?? 0) + overBudget
    if (limited > 0) observer.limited('claims', limited, caller)
    for (const { prekey } of claims) {
      if (prekey === undefined) observer.claimed('not_available')
      else observer.claimed(prekey.kind === 'fallback' ? 'fallback' : 'one_time')
    }
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

  const guard = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call
    } catch (error) {
      throw calls.translate(error)
    }
  }
  const callerOf = ({ values }: HandlerContext): string => values.get(callerKey)

  return {
    routes(router) {
      router.service(
        NodeService,
        {
          publish: (request, context) => guard(publish(request, callerOf(context))),
          query: (request, context) => guard(query(request, context)),
          claimPrekeys: (request, context) => guard(claimPrekeys(request, callerOf(context))),
          getInfo,
          async *subscribe(request, context) {
            try {
              yield* openSubscription(request, context)
            } catch (error) {
              // The reader disconnected in the middle of an answer: nobody is left to get an error.
              if (isBrokenConnection(error)) return
              throw calls.translate(error)
            }
          },
        },
        // Answers are mostly ciphertext: compressing them costs time and gains nothing.
        {
          readMaxBytes,
          // Timers take no more than 24 days; nobody waits a day for an answer.
          maxTimeoutMs: 86_400_000,
          compressMinBytes: 0xffffffff,
          requestGate: calls.begin,
        },
      )
    },
    get subscribers() {
      return feed.size
    },
    get waitingBytes() {
      return feed.memory.waitingBytes
    },
    close() {
      feed.close()
    },
  }
}

type AllowedAccess = Extract<Access, { ok: true }>

// A stored envelope has one of the four kinds.
function kindOf(topic: string): StoredKind {
  const kind = topic.slice(0, topic.indexOf('-'))
  return kind === 'contact' || kind === 'revoked' || kind === 'prekey' ? kind : 'message'
}
