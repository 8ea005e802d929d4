/** Passes commits of the store on to the subscriptions that want them. */
import type { Commit, PageLimit, Store, StoredEnvelope } from '../store/store.ts'
import { LiveBuffer } from './live-buffer.ts'
import { defaultTotalLimitBytes, LiveMemory, waitingOf } from './live-memory.ts'

/** What one subscriber wants. */
export interface Interest {
  /** Topics whose envelopes it wants. */
  readonly topics: Iterable<string>
  /** Installations whose stock of prekeys it wants. */
  readonly installationIds: Iterable<string>
  /**
   * Whether it has read an envelope from the store already: another process may be told of a commit
   * only after that. Such a one is no backlog.
   */
  readonly hasRead?: (envelope: Pick<StoredEnvelope, 'topic' | 'sequence'>) => boolean
}

export class LiveFeed {
  /** The memory of all backlogs together. */
  readonly memory: LiveMemory
  readonly #limit: PageLimit
  readonly #stockMinimum: number
  readonly #buffers = new Set<LiveBuffer>()
  readonly #byTopic = new Map<string, Set<LiveBuffer>>()
  readonly #byInstallation = new Map<string, Set<LiveBuffer>>()
  readonly #stopWatching: () => void
  #closed = false

  /**
   * @param limit the largest backlog of one subscriber.
   * @param totalLimitBytes the largest of all together; beyond it the fullest buffers are dropped.
   */
  constructor(
    store: Pick<Store, 'watch'>,
    limit: PageLimit,
    stockMinimum: number,
    totalLimitBytes = defaultTotalLimitBytes,
  ) {
    this.memory = new LiveMemory(totalLimitBytes)
    this.#limit = limit
    this.#stockMinimum = stockMinimum
    this.#stopWatching = store.watch((commit) => this.#deliver(commit), {
      topic: (name) => this.#byTopic.has(name),
      installation: (id) => this.#byInstallation.has(id),
    })
  }

  /** Connected subscribers. */
  get size(): number {
    return this.#buffers.size
  }

  /** Collects from now on, until `leave` is called. */
  open(interest: Interest): { readonly buffer: LiveBuffer; readonly leave: () => void } {
    const buffer = new LiveBuffer(this.#limit, this.memory, interest.hasRead)
    if (this.#closed) buffer.end()
    this.#buffers.add(buffer)
    for (const topic of interest.topics) addTo(this.#byTopic, topic, buffer)
    for (const id of interest.installationIds) addTo(this.#byInstallation, id, buffer)
    const leave = (): void => {
      if (!this.#buffers.delete(buffer)) return
      for (const topic of interest.topics) removeFrom(this.#byTopic, topic, buffer)
      for (const id of interest.installationIds) removeFrom(this.#byInstallation, id, buffer)
      buffer.end()
    }
    return { buffer, leave }
  }

  /** Ends every subscription. */
  close(): void {
    this.#closed = true
    this.#stopWatching()
    for (const buffer of this.#buffers) buffer.end()
  }

  #deliver(commit: Commit): void {
    if (commit.missed) for (const buffer of this.#buffers) buffer.miss()
    for (const envelope of commit.envelopes) {
      const buffers = this.#byTopic.get(envelope.topic)
      if (buffers === undefined) continue
      const waiting = waitingOf(envelope)
      for (const buffer of buffers) buffer.push(waiting)
      if (this.memory.isFull) this.#relieve()
    }
    for (const stock of commit.stocks) {
      if (stock.oneTimeLeft >= this.#stockMinimum) continue
      for (const buffer of this.#byInstallation.get(stock.installationId) ?? []) {
        buffer.pushStock(stock)
      }
    }
  }

  /** Disconnects the subscribers with the largest backlog, so that the others stay. */
  #relieve(): void {
    const fullestFirst = [...this.#buffers]
      .filter(({ bytes }) => bytes > 0)
      .sort((a, b) => b.bytes - a.bytes)
    for (const buffer of fullestFirst) {
      if (this.memory.hasRoom) return
      buffer.overflow()
    }
  }
}

function addTo(index: Map<string, Set<LiveBuffer>>, key: string, buffer: LiveBuffer): void {
  const buffers = index.get(key)
  if (buffers === undefined) index.set(key, new Set([buffer]))
  else buffers.add(buffer)
}

function removeFrom(index: Map<string, Set<LiveBuffer>>, key: string, buffer: LiveBuffer): void {
  const buffers = index.get(key)
  buffers?.delete(buffer)
  if (buffers?.size === 0) index.delete(key)
}
