/**
 * Emits commits to watchers: those of this process at once, with the bytes that are still in memory;
 * those of other processes by reading the topics that a watcher here wants.
 */
import type { News, Operation, Outcome } from './operations.ts'
import type { Commit, Interest, PageLimit, Stock, Store, StoredEnvelope } from './store.ts'

/** Unread news at most; beyond that watchers get `missed` and read everything again. */
const newsLimit = 1_000
const pageLimit: PageLimit = { envelopes: 500, bytes: 4 * 1024 * 1024 }

export class CommitFeed {
  readonly #store: Pick<Store, 'page' | 'stock'>
  readonly #watchers = new Map<(commit: Commit) => void, Interest>()
  #news: News[] = []
  #reading: Promise<void> | undefined

  constructor(store: Pick<Store, 'page' | 'stock'>) {
    this.#store = store
  }

  watch(listener: (commit: Commit) => void, interest: Interest): () => void {
    this.#watchers.set(listener, interest)
    return () => {
      this.#watchers.delete(listener)
    }
  }

  /** A commit of this process: its operations and what became of them. */
  onCommit(operations: readonly Operation[], outcomes: readonly Outcome[]): void {
    const envelopes: StoredEnvelope[] = []
    const stocks: Stock[] = []
    for (const [index, operation] of operations.entries()) {
      const outcome = outcomes[index]
      if (outcome?.kind === 'claimed') stocks.push(...outcome.stocks)
      if (outcome?.kind !== 'published' || operation.kind !== 'publish') continue
      for (const [position, { topic, message }] of operation.envelopes.entries()) {
        const receipt = outcome.receipts[position]
        if (receipt?.fresh !== true) continue
        envelopes.push({ topic, message, sequence: receipt.sequence, nodeNs: receipt.nodeNs })
      }
    }
    if (envelopes.length > 0 || stocks.length > 0) {
      this.#emit({ envelopes, stocks, missed: false })
    }
  }

  /** Commits of other processes. */
  onNews(news: News): void {
    if (this.#news.length >= newsLimit) this.#news = [missedAll]
    else this.#news.push(news)
    this.#reading ??= this.#readNews()
  }

  async #readNews(): Promise<void> {
    for (let news = this.#news.shift(); news !== undefined; news = this.#news.shift()) {
      try {
        await this.#read(news)
      } catch {
        // The database did not answer: watchers that read again wait until it does.
        this.#emit(missedSome)
      }
    }
    this.#reading = undefined
  }

  async #read({ cursors, installationIds, missed }: News): Promise<void> {
    if (missed) this.#emit(missedSome)
    const interests = [...this.#watchers.values()]
    const stocks: Stock[] = []
    for (const id of installationIds) {
      const isWanted = interests.some((interest) => interest.installation(id))
      if (isWanted) stocks.push(await this.#store.stock(id))
    }
    if (stocks.length > 0) this.#emit({ envelopes: [], stocks, missed: false })

    const wanted = cursors.filter(({ topic }) => interests.some((each) => each.topic(topic)))
    const positions = new Map(wanted.map(({ topic, afterSequence }) => [topic, afterSequence]))
    for (let hasMore = positions.size > 0; hasMore; ) {
      const from = Array.from(positions, ([topic, afterSequence]) => ({ topic, afterSequence }))
      const page = await this.#store.page(from, pageLimit)
      for (const { topic, sequence } of page.envelopes) positions.set(topic, sequence)
      if (page.envelopes.length > 0) {
        this.#emit({ envelopes: page.envelopes, stocks: [], missed: false })
      }
      hasMore = page.hasMore
    }
  }

  #emit(commit: Commit): void {
    for (const listener of this.#watchers.keys()) listener(commit)
  }
}

const missedSome: Commit = { envelopes: [], stocks: [], missed: true }
const missedAll: News = { cursors: [], installationIds: [], missed: true }
