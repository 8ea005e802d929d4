/**
 * How far each topic was processed, per node id: another node starts at 0. A position in a contact
 * or revoked topic comes with its head, and the heads of earlier positions are kept
 * (docs/protocol.md section 8).
 */

import { encodeHex } from '../../protocol/bytes.ts'
import { emptyHead } from '../../protocol/heads.ts'
import type { Fields, Store, Write } from '../../store/store.ts'
import { type CursorRecord, joinKey, put, remove, tables } from '../../store/tables.ts'
import type { Change } from './change.ts'

/** Bounds memory; an evicted cursor is read again. */
const maxCached = 10_000

export interface Position {
  /** Of the newest processed envelope; 0 before the first. */
  readonly sequence: bigint
  /** H(sequence); means nothing in topics that have no heads. */
  readonly head: Uint8Array
}

const start: Position = { sequence: 0n, head: emptyHead }
const noHead = new Uint8Array()

export class Cursors {
  readonly #store: Store
  #nodeId: Uint8Array = new Uint8Array()
  #node = ''
  readonly #positions = new Map<string, Position>()

  constructor(store: Store) {
    this.#store = store
  }

  /** The node whose topics these are; empty before the first connection. */
  get nodeId(): Uint8Array {
    return this.#nodeId
  }

  /** @returns whether the node changed, as it does at the first connection */
  setNode(nodeId: Uint8Array): boolean {
    const node = encodeHex(nodeId)
    if (node === this.#node) return false
    this.#nodeId = nodeId
    this.#node = node
    this.#positions.clear()
    return true
  }

  /** The sequence number of the newest processed envelope; 0 before the first. */
  async load(topic: string): Promise<bigint> {
    return (await this.position(topic)).sequence
  }

  async position(topic: string): Promise<Position> {
    const known = this.#positions.get(topic)
    if (known) return known
    const node = this.#node
    const row = await this.#store.get(tables.cursors, joinKey(node, topic))
    // The client may have connected to another node while the store answered.
    if (node !== this.#node) return this.position(topic)
    // A database older than heads has only the cursor: such a topic is read again.
    const hasHead = topic.startsWith('message-') || row?.value.head.length === emptyHead.length
    // The position may have moved while the store answered.
    const { sequence, head } = row && hasHead ? row.value : start
    return this.#positions.get(topic) ?? this.#remember(topic, { sequence, head })
  }

  /** Like `position`, but undefined if the topic is not in memory. */
  peek(topic: string): Position | undefined {
    return this.#positions.get(topic)
  }

  /** H(sequence) of an earlier position; undefined if there was none. */
  async earlierHead(topic: string, sequence: bigint): Promise<Uint8Array | undefined> {
    const row = await this.#store.get(tables.cursors, this.#keyOfEarlier(topic, sequence))
    return row?.value.head
  }

  /** Moves a topic's position. @param readMs when, of a topic that may be forgotten */
  positionChange(topic: string, sequence: bigint, head: Uint8Array = noHead, readMs = 0): Change {
    const node = this.#node
    const record = { topic, sequence, head, readMs: BigInt(readMs), node }
    return {
      writes: [put(tables.cursors, joinKey(node, topic), record)],
      committed: () => {
        // A position at one node means nothing at another.
        if (node === this.#node) this.#remember(topic, { sequence, head })
      },
    }
  }

  /** Forgets these positions, of whatever node, and the heads of earlier ones. */
  removalChange(records: readonly Fields<CursorRecord>[]): Change {
    return {
      writes: records.flatMap(({ node, topic, sequence, readMs }) => [
        remove(tables.cursors, joinKey(node, topic, String(sequence))),
        ...(readMs > 0n ? [remove(tables.cursors, joinKey(node, topic))] : []),
      ]),
      committed: () => {
        for (const { topic } of records) this.#positions.delete(topic)
      },
    }
  }

  /** Keeps the head of a position before it moves on. */
  earlierHeadWrite(topic: string, { sequence, head }: Position): Write {
    const record = { topic, sequence, head, node: this.#node }
    return put(tables.cursors, this.#keyOfEarlier(topic, sequence), record)
  }

  #remember(topic: string, position: Position): Position {
    if (this.#positions.size >= maxCached) this.#positions.clear()
    this.#positions.set(topic, position)
    return position
  }

  #keyOfEarlier(topic: string, sequence: bigint): string {
    return joinKey(this.#node, topic, String(sequence))
  }
}
