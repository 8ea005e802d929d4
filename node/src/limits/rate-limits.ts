/**
 * The rate limits of this process: a request over a limit is `rate_limited` with the time to wait,
 * and a claim over a limit of keys gets fallback keys (docs/protocol.md section 5, "Prekeys"). A
 * caller's own buckets come before shared ones, so that refused requests do not use up what others
 * share.
 */
import type { ClaimBudget } from '../store/claim-budget.ts'
import { ClaimMemory } from './claim-memory.ts'
import { CallerCounts, networkOf } from './networks.ts'
import { type Rates, rateDefaults } from './rates.ts'
import { TokenBuckets } from './token-buckets.ts'

/** Which limit it was. */
export const limitKinds = [
  'requests',
  'published_bytes',
  'published_envelopes',
  'signed_envelopes',
  'caller_inbox',
  'inbox',
  'queries',
  'streams',
  'open_streams',
  'chain_questions',
  'claims',
  'claimed_installations',
  'calls',
  'bodies',
  'answers',
  'data',
] as const

export type LimitKind = (typeof limitKinds)[number]

/** A request that must wait. */
export interface Limited {
  readonly kind: LimitKind
  /** A retry after this time succeeds if the caller asks nothing else meanwhile. */
  readonly retryAfterMs: number
  /** The envelope whose inbox is over its limit; absent for other limits. */
  readonly envelopeIndex?: number
}

type Published = readonly { readonly topic: string; readonly message: Uint8Array }[]

/** `undefined` means that the request may go on. A limited request takes no tokens. */
export interface RateLimits {
  /** Any request, before its body is read. */
  request(caller: string): Limited | undefined
  publish(caller: string, envelopes: Published): Limited | undefined
  /** Gives back what a publish took that the store could not store. */
  notStored(envelopes: Published): void
  query(caller: string, topics: number, proofs: number): Limited | undefined
  /** A subscription; call `close` when it ends. */
  openStream(
    caller: string,
    proofs: number,
  ): Limited | { readonly kind: 'open'; readonly close: () => void }
  /** One question to a chain. */
  chainQuestion(caller: string): Limited | undefined
  /**
   * A claim that may go on; some of its installations give only their fallback key, and all claims
   * together may take so much of each installation as the store keeps count of.
   */
  claim(
    caller: string,
    claimId: Uint8Array,
    installationIds: readonly string[],
  ): Limited | AllowedClaim
}

export interface AllowedClaim {
  readonly kind: 'claim'
  readonly fallbackOnly: ReadonlySet<string>
  readonly budget?: ClaimBudget
}

export interface RateLimitsOptions {
  /** Milliseconds since any start; never goes back. */
  readonly clock?: () => number
  /** Callers without limits; by default none. */
  readonly exempt?: (caller: string) => boolean
  /** Maximum keys remembered for each rate. */
  readonly keysLimit?: number
}

/** A row and its index entries, without the message. */
const envelopeOverheadBytes = 256
const topicsOfQuery = 100
/** Checking a proof costs about as much as a tenth of a query. */
const proofsOfQuery = 10
/** What checking the signatures of an envelope counts, by the kind of its topic. */
const signaturesOf: Readonly<Record<string, number>> = { contact: 1, revoked: 1, prekey: 3 }
const hourSeconds = 3_600
/** After how long a further stream may be tried for. */
const streamRetryMs = 5_000

interface Charge {
  readonly kind: LimitKind
  readonly buckets: TokenBuckets | undefined
  readonly key: string
  readonly tokens: number
  readonly envelopeIndex?: number
}

/** What a caller may, and what its network may. */
interface CallerBuckets {
  readonly own: TokenBuckets | undefined
  readonly network: TokenBuckets | undefined
}

/** What all callers may claim of one installation; nothing if there is no limit. */
function budgetOf({ targetClaimsPerHour, targetClaimsBurst }: Rates): {
  readonly budget?: ClaimBudget
} {
  if (targetClaimsPerHour === 0) return {}
  const everyNs = BigInt(Math.max(1, Math.round((hourSeconds * 1e9) / targetClaimsPerHour)))
  return { budget: { burst: Math.max(1, Math.floor(targetClaimsBurst)), everyNs } }
}

/** How much more than a caller its network may. */
const networkTimes = 16

/**
 * Limits with these rates, and defaults for the others. Memory is bounded: 100,000 keys of each rate,
 * which takes as many callers or inboxes, are about 100 MB.
 */
export function createRateLimits(
  rates: Partial<Rates> = {},
  options: RateLimitsOptions = {},
): RateLimits {
  const { clock = () => performance.now(), exempt = () => false, keysLimit = 100_000 } = options
  const rate = { ...rateDefaults, ...rates }
  const buckets = (perSecond: number, burst: number): TokenBuckets | undefined =>
    perSecond === 0 ? undefined : new TokenBuckets({ perSecond, burst, keysLimit })
  const ofCallers = (perSecond: number, burst: number): CallerBuckets => ({
    own: buckets(perSecond, burst),
    network: buckets(perSecond * networkTimes, burst * networkTimes),
  })
  const requests = ofCallers(rate.requestsPerSecond, rate.requestsBurst)
  const bytes = ofCallers(rate.publishedBytesPerSecond, rate.publishedBytesBurst)
  const envelopes = ofCallers(rate.publishedEnvelopesPerSecond, rate.publishedEnvelopesBurst)
  const signed = ofCallers(rate.signedEnvelopesPerSecond, rate.signedEnvelopesBurst)
  const callerInbox = buckets(rate.callerInboxEnvelopesPerSecond, rate.callerInboxEnvelopesBurst)
  const inbox = buckets(rate.inboxEnvelopesPerSecond, rate.inboxEnvelopesBurst)
  const inboxShare = ofCallers(rate.inboxSharePerHour / hourSeconds, rate.inboxShareBurst)
  const queries = ofCallers(rate.queriesPerSecond, rate.queriesBurst)
  const streams = ofCallers(rate.streamsPerSecond, rate.streamsBurst)
  const chainQuestions = ofCallers(rate.chainQuestionsPerSecond, rate.chainQuestionsBurst)
  const claims = ofCallers(rate.claimsPerSecond, rate.claimsBurst)
  const claimed = ofCallers(rate.claimedInstallationsPerSecond, rate.claimedInstallationsBurst)
  const callerTarget = buckets(
    rate.callerTargetClaimsPerHour / hourSeconds,
    rate.callerTargetClaimsBurst,
  )
  const budget = budgetOf(rate)
  /** What publishes took, for those that could not be stored. */
  const taken = new WeakMap<Published, readonly Charge[]>()
  const claimMemory = new ClaimMemory(keysLimit)
  const open = new CallerCounts(
    rate.openStreams > 0 ? rate.openStreams : Number.POSITIVE_INFINITY,
    networkTimes,
  )

  /** The longest wait of these; absent if all tokens are there. */
  function look(charges: readonly Charge[], nowMs: number): Limited | undefined {
    let worst: Limited | undefined
    for (const { kind, buckets, key, tokens, envelopeIndex } of charges) {
      const retryAfterMs = buckets?.waitMs(key, tokens, nowMs) ?? 0
      if (retryAfterMs <= (worst?.retryAfterMs ?? 0)) continue
      worst = { kind, retryAfterMs, ...(envelopeIndex !== undefined && { envelopeIndex }) }
    }
    return worst
  }

  /** Takes all tokens, or none and says how long it takes until all are there. */
  function charge(charges: readonly Charge[]): Limited | undefined {
    const nowMs = clock()
    const worst = look(charges, nowMs)
    if (worst !== undefined) return worst
    for (const { buckets, key, tokens } of charges) buckets?.take(key, tokens, nowMs)
    return undefined
  }

  function chargesOf(
    kind: LimitKind,
    { own, network }: CallerBuckets,
    caller: string,
    tokens: number,
  ): readonly Charge[] {
    const around = networkOf(caller)
    const ofCaller = { kind, buckets: own, key: caller, tokens }
    return around === undefined
      ? [ofCaller]
      : [ofCaller, { kind, buckets: network, key: around, tokens }]
  }

  const chargeOne = (kind: LimitKind, of: CallerBuckets, caller: string, tokens = 1) =>
    exempt(caller) ? undefined : charge(chargesOf(kind, of, caller, tokens))

  function claimCharges(caller: string, id: string): readonly Charge[] {
    return [
      ...chargesOf('claims', claims, caller, 1),
      { kind: 'claims', buckets: callerTarget, key: `${caller} ${id}`, tokens: 1 },
    ]
  }

  function publishCharges(caller: string, published: Published): readonly Charge[] {
    let size = 0
    let signatures = 0
    const inboxes = new Map<string, { first: number; count: number }>()
    for (const [index, { topic, message }] of published.entries()) {
      size += message.length + envelopeOverheadBytes
      signatures += signaturesOf[topic.slice(0, topic.indexOf('-'))] ?? 0
      if (!topic.startsWith('message-')) continue
      const seen = inboxes.get(topic)
      if (seen === undefined) inboxes.set(topic, { first: index, count: 1 })
      else seen.count += 1
    }
    const charges: Charge[] = [
      ...chargesOf('published_bytes', bytes, caller, size),
      ...chargesOf('published_envelopes', envelopes, caller, published.length),
    ]
    if (signatures > 0) {
      charges.push(...chargesOf('signed_envelopes', signed, caller, signatures))
    }
    for (const [topic, { first, count }] of inboxes) {
      const about = { tokens: count, envelopeIndex: first }
      const key = `${caller} ${topic}`
      charges.push({ kind: 'caller_inbox', buckets: callerInbox, key, ...about })
      charges.push(
        ...(shareOf(caller, topic, count) ?? [
          { kind: 'inbox', buckets: inbox, key: topic, ...about },
        ]),
      )
    }
    return charges
  }

  /** The caller's own share of an inbox, as long as it lasts: a crowd cannot silence an inbox for all. */
  function shareOf(caller: string, topic: string, tokens: number): readonly Charge[] | undefined {
    const { own, network } = inboxShare
    if (inbox === undefined || own === undefined) return undefined
    const around = networkOf(caller)
    const charges: Charge[] = [{ kind: 'inbox', buckets: own, key: `${caller} ${topic}`, tokens }]
    if (around !== undefined) {
      charges.push({ kind: 'inbox', buckets: network, key: `${around} ${topic}`, tokens })
    }
    return look(charges, clock()) === undefined && tokens <= rate.inboxShareBurst
      ? charges
      : undefined
  }

  return {
    request: (caller) => chargeOne('requests', requests, caller),
    publish(caller, published) {
      if (exempt(caller)) return undefined
      const charges = publishCharges(caller, published)
      const limited = charge(charges)
      if (limited === undefined) taken.set(published, charges)
      return limited
    },
    notStored(published) {
      const nowMs = clock()
      for (const { buckets, key, tokens } of taken.get(published) ?? []) {
        buckets?.take(key, -tokens, nowMs)
      }
      taken.delete(published)
    },
    query(caller, topics, proofs) {
      const tokens = Math.max(1, Math.ceil(topics / topicsOfQuery))
      return chargeOne('queries', queries, caller, tokens + Math.floor(proofs / proofsOfQuery))
    },
    openStream(caller, proofs) {
      if (exempt(caller)) return { kind: 'open', close() {} }
      if (open.isOver(caller, 1)) {
        // Nobody knows when one of them ends.
        return { kind: 'open_streams', retryAfterMs: streamRetryMs }
      }
      const tokens = 1 + Math.floor(proofs / proofsOfQuery)
      const limited = chargeOne('streams', streams, caller, tokens)
      if (limited !== undefined) return limited
      open.add(caller, 1)
      let isOpen = true
      return {
        kind: 'open',
        close() {
          if (!isOpen) return
          isOpen = false
          open.add(caller, -1)
        },
      }
    },
    chainQuestion: (caller) => chargeOne('chain_questions', chainQuestions, caller),
    claim(caller, claimId, installationIds) {
      if (exempt(caller)) return { kind: 'claim', fallbackOnly: new Set() }
      // Also for a claim that is sent again: looking up its keys costs the same.
      const limited = chargeOne('claimed_installations', claimed, caller, installationIds.length)
      if (limited !== undefined) return limited
      const nowMs = clock()
      const known = claimMemory.recall(claimId, installationIds, nowMs)
      if (known !== undefined) return { kind: 'claim', fallbackOnly: known, ...budget }
      const fallbackOnly = new Set<string>()
      for (const id of new Set(installationIds)) {
        if (charge(claimCharges(caller, id)) !== undefined) fallbackOnly.add(id)
      }
      claimMemory.remember(claimId, installationIds, fallbackOnly, nowMs)
      return { kind: 'claim', fallbackOnly, ...budget }
    },
  }
}
