/** How far each topic was processed, under the node's id: another node starts at 0. */

import { encodeHex } from '../protocol/bytes.ts'
import type { Store, Write } from '../store/store.ts'
import { joinKey, put, tables } from '../store/tables.ts'

/** Bounds memory; a forgotten cursor is read again. */
const maxCached = 10_000

export class Cursors {
  readonly #store: Store
  #node = ''
  readonly #sequences = new Map<string, bigint>()

  constructor(store: Store) {
    this.#store = store
  }

  /** @returns whether this is another node than before in this session. */
  setNode(nodeId: Uint8Array): boolean {
    const node = encodeHex(nodeId)
    if (node === this.#node) return false
    this.#node = node
    this.#sequences.clear()
    return true
  }

  /** The sequence number of the newest processed envelope; 0 before the first. */
  async load(topic: string): Promise<bigint> {
    const known = this.#sequences.get(topic)
    if (known !== undefined) return known
    const row = await this.#store.get(tables.cursors, joinKey(this.#node, topic))
    // It may have moved on while the store answered.
    return this.#sequences.get(topic) ?? this.committed(topic, row?.value.sequence ?? 0n)
  }

  write(topic: string, sequence: bigint): Write {
    return put(tables.cursors, joinKey(this.#node, topic), { topic, sequence })
  }

  /** To be called when what `write` gave is committed. */
  committed(topic: string, sequence: bigint): bigint {
    if (this.#sequences.size >= maxCached) this.#sequences.clear()
    this.#sequences.set(topic, sequence)
    return sequence
  }
}
