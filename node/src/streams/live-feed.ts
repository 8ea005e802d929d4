/** Brings what the store commits to the streams that asked for it. */
import type { Commit, PageLimit, Store, StoredEnvelope } from '../store/store.ts'
import { LiveBuffer } from './live-buffer.ts'

/** What one reader wants to hear of. */
export interface Interest {
  /** Topics whose envelopes it wants. */
  readonly topics: Iterable<string>
  /** Installations whose stock of prekeys it wants. */
  readonly installationIds: Iterable<string>
}

export class LiveFeed {
  readonly #limit: PageLimit
  readonly #stockMinimum: number
  readonly #buffers = new Set<LiveBuffer>()
  readonly #byTopic = new Map<string, Set<LiveBuffer>>()
  readonly #byInstallation = new Map<string, Set<LiveBuffer>>()
  readonly #stopWatching: () => void
  #closed = false

  constructor(store: Store, limit: PageLimit, stockMinimum: number) {
    this.#limit = limit
    this.#stockMinimum = stockMinimum
    this.#stopWatching = store.watch((commit) => this.#deliver(commit), {
      topic: (name) => this.#byTopic.has(name),
      installation: (id) => this.#byInstallation.has(id),
    })
  }

  /** How many readers are connected. */
  get size(): number {
    return this.#buffers.size
  }

  /** Collects from now on, until the returned function is called. */
  open(interest: Interest): { readonly buffer: LiveBuffer; readonly leave: () => void } {
    const buffer = new LiveBuffer(this.#limit)
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

  /** Ends every stream. */
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
      const detached = detach(envelope)
      for (const buffer of buffers) buffer.push(detached)
    }
    for (const stock of commit.stocks) {
      if (stock.oneTimeLeft >= this.#stockMinimum) continue
      for (const buffer of this.#byInstallation.get(stock.installationId) ?? []) {
        buffer.pushStock(stock)
      }
    }
  }
}

// A message is a view into its request. Waiting for a slow reader it would keep all 25 MiB of it.
const detach = (envelope: StoredEnvelope): StoredEnvelope =>
  envelope.message.byteLength === envelope.message.buffer.byteLength
    ? envelope
    : { ...envelope, message: Uint8Array.from(envelope.message) }

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
