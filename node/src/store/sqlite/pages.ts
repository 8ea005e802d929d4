/**
 * Pages over many topics in (`node_ns`, topic, sequence) order: a merge of the topics' own orders,
 * with one index probe for each topic that has nothing new.
 */
import type { DatabaseSync } from 'node:sqlite'
import { bytesOf, integerOf } from '../rows.ts'
import type { Cursor, Page, PageLimit, StoredEnvelope } from '../store.ts'
import { prepare, type Statement } from './statement.ts'

/** An envelope that may be next on its topic; its message is read once it is chosen. */
interface Candidate {
  readonly rowId: bigint
  readonly sequence: bigint
  readonly nodeNs: bigint
  readonly size: number
}

/** A topic with something left: its next envelope, and those read ahead. */
interface Source {
  readonly topic: string
  readonly topicId: bigint
  next: Candidate
  /** The following ones, the nearest last. */
  readAhead: Candidate[]
  chunk: number
}

/** Maximum envelopes of one topic that are read ahead. */
const readAheadLimit = 500

export class SqlitePages {
  readonly #topic: Statement
  readonly #candidates: Statement
  readonly #message: Statement

  constructor(database: DatabaseSync) {
    this.#topic = prepare(database, 'SELECT id, sequence FROM topic WHERE name = ?')
    this.#candidates = prepare(
      database,
      `SELECT id, sequence, node_ns, size FROM envelope
       WHERE topic = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
    )
    this.#message = prepare(database, 'SELECT message FROM envelope WHERE id = ?')
  }

  page(cursors: readonly Cursor[], limit: PageLimit): Page {
    const sources = this.#open(cursors, limit.envelopes)
    const envelopes: StoredEnvelope[] = []
    let bytes = 0
    while (envelopes.length < limit.envelopes) {
      const source = sources.peek()
      if (source === undefined) break
      const { rowId, sequence, nodeNs, size } = source.next
      bytes += size
      if (envelopes.length > 0 && bytes > limit.bytes) break
      const row = this.#message.get(rowId)
      if (row === undefined) throw new TypeError('an envelope is gone in the middle of a page')
      envelopes.push({ topic: source.topic, sequence, nodeNs, message: bytesOf(row, 'message') })
      if (this.#advance(source)) sources.sink()
      else sources.pop()
    }
    return { envelopes, hasMore: sources.peek() !== undefined }
  }

  #open(cursors: readonly Cursor[], count: number): Heap<Source> {
    const fresh: { topic: string; topicId: bigint; afterSequence: bigint }[] = []
    for (const { topic, afterSequence } of cursors) {
      const row = this.#topic.get(topic)
      if (row === undefined || integerOf(row, 'sequence') <= afterSequence) continue
      fresh.push({ topic, topicId: integerOf(row, 'id'), afterSequence })
    }
    // Each topic begins with an even share; topics that use theirs up are read in larger chunks.
    const chunk = Math.ceil((count + 1) / Math.max(1, fresh.length))
    const sources: Source[] = []
    for (const { topic, topicId, afterSequence } of fresh) {
      const readAhead = this.#read(topicId, afterSequence, chunk)
      const next = readAhead.pop()
      if (next !== undefined) sources.push({ topic, topicId, next, readAhead, chunk })
    }
    return new Heap(sources, comesBefore)
  }

  /** Moves to the topic's following envelope; false if there is none. */
  #advance(source: Source): boolean {
    if (source.readAhead.length === 0) {
      source.chunk = Math.min(2 * source.chunk, readAheadLimit)
      source.readAhead = this.#read(source.topicId, source.next.sequence, source.chunk)
    }
    const next = source.readAhead.pop()
    if (next === undefined) return false
    source.next = next
    return true
  }

  #read(topicId: bigint, afterSequence: bigint, count: number): Candidate[] {
    const candidates: Candidate[] = []
    for (const row of this.#candidates.all(topicId, afterSequence, count)) {
      candidates.push({
        rowId: integerOf(row, 'id'),
        sequence: integerOf(row, 'sequence'),
        nodeNs: integerOf(row, 'node_ns'),
        size: Number(integerOf(row, 'size')),
      })
    }
    return candidates.reverse()
  }
}

// Topics are ASCII, so the order of UTF-16 units is the order of their bytes.
function comesBefore(a: Source, b: Source): boolean {
  if (a.next.nodeNs !== b.next.nodeNs) return a.next.nodeNs < b.next.nodeNs
  return a.topic < b.topic
}

/** A binary heap: `peek` returns its first item by `comesBefore`. */
class Heap<T> {
  readonly #items: T[]
  readonly #comesBefore: (a: T, b: T) => boolean

  constructor(items: T[], comesBefore: (a: T, b: T) => boolean) {
    this.#items = items
    this.#comesBefore = comesBefore
    for (let index = (items.length >> 1) - 1; index >= 0; index -= 1) this.sink(index)
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  pop(): void {
    const last = this.#items.pop()
    if (last === undefined || this.#items.length === 0) return
    this.#items[0] = last
    this.sink()
  }

  /** Moves an item that may have grown, by default the first, to its place. */
  sink(from = 0): void {
    const items = this.#items
    let index = from
    for (;;) {
      const item = items[index]
      let least = item
      let leastIndex = index
      for (const childIndex of [2 * index + 1, 2 * index + 2]) {
        const child = items[childIndex]
        if (child !== undefined && least !== undefined && this.#comesBefore(child, least)) {
          least = child
          leastIndex = childIndex
        }
      }
      if (item === undefined || least === undefined || leastIndex === index) return
      items[index] = least
      items[leastIndex] = item
      index = leastIndex
    }
  }
}
