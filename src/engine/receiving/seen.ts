/**
 * The digests of processed envelopes (docs/protocol.md section 7, Replays): what fails and was
 * processed before is a duplicate. In the store for as long as a node may serve an envelope again;
 * in memory from the first question on, so that a question costs the same whatever is stored.
 */

import { concatBytes } from '../../protocol/bytes.ts'
import { dayNs } from '../../protocol/limits.ts'
import type { Row, Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { PrefixSet, prefixBytes } from './prefix-set.ts'

/** A node's default retention (section 11), and the longest we honour, as digests take space. */
const usualRetentionNs = 60n * dayNs
const longestRetentionNs = 400n * dayNs
/** Records are merged up to this size; while live, one comes with every message. */
const mergedPrefixes = 4_096
const pageSize = 500

type SeenRow = Row<{ readonly prefixes: Uint8Array; readonly nodeNs: bigint }>

export class Seen {
  readonly #context: Context
  /** Undefined until somebody asks. */
  #loaded: PrefixSet | undefined
  /** How long the node claims to keep envelopes. */
  #retentionNs = usualRetentionNs
  /** Records up to this number are merged. */
  #mergedTo = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** The node reported how long it keeps envelopes. */
  onRetention(retentionNs: bigint): void {
    this.#retentionNs = retentionNs
  }

  /** Which of these digests are of processed envelopes. */
  async find(digests: readonly Uint8Array[]): Promise<readonly boolean[]> {
    this.#loaded ??= await this.#load()
    const loaded = this.#loaded
    return digests.map((digest) => loaded.has(digest))
  }

  /** Remembers processed envelopes. */
  additionChange(digests: readonly Uint8Array[], nodeNs: bigint): Change {
    if (digests.length === 0) return { writes: [] }
    const { store, time } = this.#context
    const record = {
      prefixes: concatBytes(...digests.map((digest) => digest.subarray(0, prefixBytes))),
      // A node that dates envelopes into the future must not make digests stay forever.
      nodeNs: time.notAhead(nodeNs),
    }
    return {
      writes: [put(tables.seen, store.nextNumber(tables.seen), record)],
      committed: () => this.#loaded?.addAll(record.prefixes),
    }
  }

  /**
   * Drops digests older than the node's retention plus a day (section 7): no older envelope is
   * served again. The default retention is the minimum, as the node's may have been longer before.
   * What stays in memory until the next start does no harm.
   */
  async forgetOld(): Promise<void> {
    const { store, time } = this.#context
    const told = this.#retentionNs < longestRetentionNs ? this.#retentionNs : longestRetentionNs
    const kept = told > usualRetentionNs ? told : usualRetentionNs
    const oldest = time.passedNs() - kept - dayNs
    for (;;) {
      const { rows } = await store.scan(tables.seen, { after: 0, limit: pageSize })
      const old = rows.filter(({ value }) => value.nodeNs < oldest)
      if (old.length === 0) return
      await commit(store, { writes: old.map(({ number }) => remove(tables.seen, number)) })
    }
  }

  /**
   * Merges some of the records that came since the last time, so that loading reads few. Call this
   * while holding `ratchetLock`, as whoever loads does.
   *
   * @returns whether there is more to merge
   */
  async mergeSome(): Promise<boolean> {
    const { store } = this.#context
    const after = this.#mergedTo
    const { rows } = await store.scan(tables.seen, { after, limit: pageSize })
    const some = fitting(rows)
    const [first, ...others] = some
    if (!first) return false
    if (others.length > 0) await commit(store, { writes: mergedWrites(first, others) })
    // A record that is not full yet takes those that come.
    const isFull = some.length < rows.length
    if (isFull) this.#mergedTo = some.at(-1)?.number ?? after
    return isFull || rows.length === pageSize
  }

  async #load(): Promise<PrefixSet> {
    const set = new PrefixSet()
    for await (const { value } of scanAll(this.#context.store, tables.seen)) {
      set.addAll(value.prefixes)
    }
    return set
  }
}

/** The first records, as many as make one. */
const fitting = (rows: readonly SeenRow[]): readonly SeenRow[] => {
  let left = mergedPrefixes * prefixBytes
  const end = rows.findIndex(({ value }, at) => {
    left -= value.prefixes.length
    return at > 0 && left < 0
  })
  return end < 0 ? rows : rows.slice(0, end)
}

/** One record for many, which lasts as long as the newest of them. */
const mergedWrites = (first: SeenRow, others: readonly SeenRow[]): readonly Write[] => {
  const all = [first, ...others]
  const prefixes = concatBytes(...all.map(({ value }) => value.prefixes))
  const nodeNs = all.reduce((most, { value }) => (value.nodeNs > most ? value.nodeNs : most), 0n)
  return [
    put(tables.seen, first.number, { prefixes, nodeNs }),
    ...others.map(({ number }) => remove(tables.seen, number)),
  ]
}
