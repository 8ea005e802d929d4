/**
 * One subscription from start to end: started, stock notices, all envelopes after the cursors,
 * caught-up, then every new envelope, and heartbeats (docs/protocol.md section 5).
 */

import { onAbort } from '../../../src/async.ts'
import { envelopeLimitBytes, pageLimitEnvelopes } from '../../../src/protocol/limits.ts'
import type { Clock } from '../clock.ts'
import type { AnswerShare } from '../limits/answer-memory.ts'
import { refusal } from '../refusal.ts'
import type { Cursor, PageLimit, Stock, Store, StoredEnvelope } from '../store/store.ts'
import type { LiveFeed } from './live-feed.ts'

export type StreamEvent =
  | { readonly kind: 'started'; readonly nodeId: Uint8Array }
  | { readonly kind: 'envelopes'; readonly envelopes: readonly StoredEnvelope[] }
  | { readonly kind: 'caught-up' }
  | { readonly kind: 'heartbeat'; readonly nodeNs: bigint }
  | { readonly kind: 'stock'; readonly stock: Stock }

export interface SubscriptionOptions {
  readonly store: Store
  readonly feed: LiveFeed
  readonly clock: Clock
  readonly heartbeatMs: number
  /** Where the reader is on each topic that it wants envelopes of. */
  readonly cursors: readonly Cursor[]
  /** Installations whose stock notices it wants. */
  readonly installationIds: readonly string[]
  /** Memory for frames. */
  readonly room: AnswerShare
  /** Aborts when the reader is gone. */
  readonly signal: AbortSignal
}

/**
 * A frame may have 4 MiB (docs/protocol.md section 11). A reader that takes nothing keeps one of them
 * in memory, so they are smaller here; a frame still has room for 500 ordinary messages.
 */
const largeFrame: PageLimit = { envelopes: pageLimitEnvelopes, bytes: envelopeLimitBytes }
/** For times when many readers take nothing. */
const smallFrame: PageLimit = { envelopes: pageLimitEnvelopes, bytes: 64 * 1024 }
/** How long a stream waits for memory before it looks whether it is over. */
const roomWaitMs = 1_000

// An object, its numbers and its topic, besides the message.
const overheadBytes = 256

/** What envelopes take in memory. */
export const sizeOf = (envelopes: readonly StoredEnvelope[]): number =>
  envelopes.reduce((sum, { message }) => sum + message.length + overheadBytes, 0)

/**
 * Ends only when the reader leaves.
 * @throws ConnectError `slow_reader` if the reader did not keep up, `unavailable` when the node stops
 * @throws StoreFailure
 */
export async function* subscribe(options: SubscriptionOptions): AsyncGenerator<StreamEvent> {
  const { store, feed, clock, heartbeatMs, signal, room } = options
  const positions = new Map(options.cursors.map((c) => [c.topic, c.afterSequence]))
  const { buffer, leave } = feed.open({
    topics: [...positions.keys()],
    installationIds: options.installationIds,
    hasRead: ({ topic, sequence }) => sequence <= (positions.get(topic) ?? 0n),
  })
  // Also while the reader takes nothing: then this generator is suspended and notices nothing.
  const gone = (): void => {
    leave()
    room.release()
  }
  const stopListening = onAbort(signal, gone)
  const heartbeat = new Heartbeat(heartbeatMs)

  // A reader that asks for the next event has taken this frame. What passes events on keeps the last one
  // until there is another, so a large frame is followed by a small one.
  function* frameOf(envelopes: readonly StoredEnvelope[]): Generator<StreamEvent> {
    const bytes = sizeOf(envelopes)
    room.keep(bytes)
    if (envelopes.length > 0) yield { kind: 'envelopes', envelopes }
    if (bytes > smallFrame.bytes) yield { kind: 'heartbeat', nodeNs: clock() }
    room.keep(0)
  }

  /** Room for the next frame; the stream goes on being alive while it waits. */
  async function* findRoom(most: number): AsyncGenerator<StreamEvent, PageLimit | undefined> {
    while (!signal.aborted && !buffer.ended) {
      const limit = room.isTight ? smallFrame : largeFrame
      // The first envelope of a frame may be larger than the frame.
      const bytes = Math.min(most, Math.max(limit.bytes, envelopeLimitBytes))
      if (await room.take(bytes, Math.min(heartbeat.dueInMs(), roomWaitMs))) return limit
      if (heartbeat.isDue()) yield { kind: 'heartbeat', nodeNs: clock() }
    }
    return undefined
  }

  // The buffer collects from before each page on, so the last page and the buffer together have every
  // envelope; duplicates are dropped by sequence.
  async function* catchUp(): AsyncGenerator<StreamEvent> {
    let hasMore = positions.size > 0
    while (hasMore && !signal.aborted && !buffer.ended) {
      buffer.restart()
      const limit = yield* findRoom(envelopeLimitBytes)
      if (limit === undefined) return
      const pageHasMore = yield* pageOf(limit)
      if (heartbeat.isDue()) yield { kind: 'heartbeat', nodeNs: clock() }
      // Section 5: catch-up goes at the reader's pace. If the buffer overflowed meanwhile, read
      // again.
      hasMore = pageHasMore || buffer.overflowed || buffer.missed
    }
  }

  // These two are functions, so that nothing of a frame stays in a stream that waits.
  /** @returns whether there is more. */
  async function* pageOf(limit: PageLimit): AsyncGenerator<StreamEvent, boolean> {
    const cursors = Array.from(positions, ([topic, afterSequence]) => ({ topic, afterSequence }))
    const page = await store.page(cursors, limit)
    yield* frameOf(moveOn(positions, page.envelopes))
    return page.hasMore
  }

  /** @returns what to do next: go on, wait for more, or read from the store what was skipped. */
  function* liveFrameOf(limit: PageLimit): Generator<StreamEvent, 'go on' | 'wait' | 'read again'> {
    const taken = buffer.take(limit)
    // Commits of several processes may come out of order: then the store has what was skipped.
    if (buffer.missed || skipsSome(positions, taken)) {
      room.keep(0)
      return 'read again'
    }
    yield* frameOf(moveOn(positions, taken))
    return taken.length === 0 ? 'wait' : 'go on'
  }

  try {
    yield { kind: 'started', nodeId: store.nodeId }
    for (const id of options.installationIds) yield { kind: 'stock', stock: await store.stock(id) }

    yield* catchUp()
    yield { kind: 'caught-up' }

    while (!signal.aborted) {
      if (buffer.ended) throw refusal('unavailable')
      if (buffer.overflowed) throw refusal('slow_reader')
      if (heartbeat.isDue()) yield { kind: 'heartbeat', nodeNs: clock() }
      for (const stock of buffer.takeStocks()) yield { kind: 'stock', stock }
      const limit = buffer.isEmpty ? smallFrame : yield* findRoom(buffer.bytes)
      if (limit === undefined) continue
      const next = yield* liveFrameOf(limit)
      if (next === 'read again') yield* catchUp()
      if (next === 'wait') await buffer.changed(heartbeat.dueInMs())
    }
  } finally {
    stopListening()
    gone()
  }
}

/** Whether a sequence is missing between the reader's position and these envelopes. */
function skipsSome(
  positions: ReadonlyMap<string, bigint>,
  envelopes: readonly StoredEnvelope[],
): boolean {
  const next = new Map<string, bigint>()
  return envelopes.some(({ topic, sequence }) => {
    const position = next.get(topic) ?? positions.get(topic)
    if (position === undefined || sequence <= position) return false
    next.set(topic, sequence)
    return sequence > position + 1n
  })
}

/** Returns the envelopes that the reader does not have yet, and moves its positions past them. */
function moveOn(
  positions: Map<string, bigint>,
  envelopes: readonly StoredEnvelope[],
): readonly StoredEnvelope[] {
  const fresh: StoredEnvelope[] = []
  for (const envelope of envelopes) {
    const position = positions.get(envelope.topic)
    if (position === undefined || envelope.sequence <= position) continue
    positions.set(envelope.topic, envelope.sequence)
    fresh.push(envelope)
  }
  return fresh
}

class Heartbeat {
  readonly #intervalMs: number
  #nextMs: number

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
    this.#nextMs = performance.now() + intervalMs
  }

  /** Whether a heartbeat is due; if so, schedules the next. */
  isDue(): boolean {
    if (performance.now() < this.#nextMs) return false
    this.#nextMs = performance.now() + this.#intervalMs
    return true
  }

  dueInMs(): number {
    return Math.max(1, this.#nextMs - performance.now())
  }
}
