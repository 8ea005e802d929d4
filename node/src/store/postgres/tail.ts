/**
 * Reports what other processes store, as news. Each process lists its transactions under numbers of
 * its own, without gaps; the tail follows the lists of all others. A notification only rings the
 * bell: the news are always read from the list, so without notifications they come a little later.
 */
import pg from 'pg'
import type { News } from '../operations.ts'
import { integerOf, type Row, textsOf } from '../rows.ts'
import type { Cursor } from '../store.ts'
import type { Hosts } from './hosts.ts'
import { runStatement } from './session.ts'

const channel = 'padlock'
/** How often the list is read without a bell; with one, in case a notification got lost. */
const pollMs = 50
const reassuranceMs = 1_000
/** Wait before a failed connection is tried again. */
const retryMs = 1_000
/** How long the first notification may take. */
const bellTrialMs = 5_000
/** How many transactions of one writer one statement reads. */
const batchesAtOnce = 200

const readBatches = `
SELECT writer.id, writer.number AS latest, batch.number, batch.topics, batch.after_sequences,
  batch.installations
FROM writer
LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS seen (id, number) ON seen.id = writer.id
LEFT JOIN LATERAL (
  SELECT * FROM batch WHERE batch.writer = writer.id AND batch.number > coalesce(seen.number, 0)
  ORDER BY number LIMIT ${batchesAtOnce}
) AS batch ON true
WHERE writer.number > coalesce(seen.number, 0)
ORDER BY writer.id, batch.number`

export class Tail {
  readonly #pool: pg.Pool
  readonly #hosts: Hosts
  readonly #usesBell: boolean
  readonly #own: bigint
  /** What this process sends to itself at its start. */
  readonly #trial: string
  /** The last transaction read of each writer. */
  readonly #seen = new Map<bigint, bigint>()
  #listener: (news: News) => void = () => {}
  #bell: pg.Client | undefined
  #wake: () => void = () => {}
  #onTrial: () => void = () => {}
  #rang = false
  #closed = false
  #running: Promise<void> = Promise.resolve()

  constructor(options: {
    readonly pool: pg.Pool
    readonly hosts: Hosts
    readonly usesBell: boolean
    readonly own: bigint
  }) {
    this.#pool = options.pool
    this.#hosts = options.hosts
    this.#usesBell = options.usesBell
    this.#own = options.own
    this.#trial = `trial of ${options.own}`
  }

  /** The last transaction that this process knows of each writer, its own included. */
  get seen(): ReadonlyMap<bigint, bigint> {
    return this.#seen
  }

  /** Forgets processes that the database has forgotten. */
  async forgetGone(): Promise<void> {
    const rows = await runStatement(this.#pool, 'SELECT id FROM writer')
    const known = new Set(rows.map((row) => integerOf(row, 'id')))
    for (const id of this.#seen.keys()) {
      if (!known.has(id) && id !== this.#own) this.#seen.delete(id)
    }
  }

  onNews(listener: (news: News) => void): void {
    this.#listener = listener
  }

  /** Skips the transactions so far and begins after them. */
  async start(): Promise<void> {
    const writers = await runStatement(this.#pool, 'SELECT id, number FROM writer')
    for (const row of writers) this.#seen.set(integerOf(row, 'id'), integerOf(row, 'number'))
    if (this.#usesBell) {
      await this.#hang()
      await this.#tryBell()
    }
    this.#running = this.#run()
  }

  /** @throws Error if no notification arrives: a pooler gives each transaction another connection. */
  async #tryBell(): Promise<void> {
    const rang = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), bellTrialMs)
      this.#onTrial = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })
    await runStatement(this.#pool, 'SELECT pg_notify($1, $2)', [channel, this.#trial])
    if (await rang) return
    throw new Error(
      'notifications do not arrive, as behind a pooler in transaction mode: connect directly, or in session mode, or start with --doorbell poll',
    )
  }

  /** This process committed a transaction, and its own readers have it already. */
  onOwnCommit(number: bigint): void {
    const seen = this.#seen.get(this.#own) ?? 0n
    // If a commit before it ended without an answer, that one is read from the list.
    if (number === seen + 1n) this.#seen.set(this.#own, number)
    else this.ring()
  }

  /** There may be something to read. */
  ring(): void {
    this.#rang = true
    this.#wake()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.ring()
    await this.#running
    await this.#bell?.end().catch(() => {})
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      await this.#pause(this.#bell === undefined ? pollMs : reassuranceMs)
      if (this.#closed) return
      try {
        while (await this.#read());
        if (this.#usesBell && this.#bell === undefined) await this.#hang()
      } catch {
        // The database is away; when it is back, the list has what was stored meanwhile.
        await this.#pause(retryMs)
      }
    }
  }

  /** @returns whether there may be more. */
  async #read(): Promise<boolean> {
    const seen = [...this.#seen]
    const rows = await runStatement(this.#pool, readBatches, [
      seen.map(([id]) => id),
      seen.map(([, number]) => number),
    ])
    const cursors: Cursor[] = []
    const installationIds = new Set<string>()
    let missed = false
    let isMore = false
    const positions = new Map<bigint, bigint>()
    for (const row of rows) {
      const writer = integerOf(row, 'id')
      const latest = integerOf(row, 'latest')
      const position = positions.get(writer) ?? this.#seen.get(writer) ?? 0n
      const number = row.number === null ? undefined : integerOf(row, 'number')
      // A new writer is read from its first transaction; if the list no longer has it, news are
      // missed.
      if (number === undefined || number > position + 1n) missed = true
      positions.set(writer, number ?? latest)
      if (number === undefined) continue
      cursors.push(...cursorsOf(row))
      for (const id of textsOf(row, 'installations')) installationIds.add(id)
      isMore ||= number < latest
    }
    for (const [writer, position] of positions) {
      const now = this.#seen.get(writer) ?? 0n
      if (position > now) this.#seen.set(writer, position)
    }
    if (missed || cursors.length > 0 || installationIds.size > 0) {
      this.#listener({ cursors: lowest(cursors), installationIds: [...installationIds], missed })
    }
    return isMore
  }

  async #hang(): Promise<void> {
    const bell = new pg.Client({
      connectionString: this.#hosts.url,
      application_name: 'padlock-node doorbell',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    })
    const fall = (): void => {
      if (this.#bell === bell) this.#bell = undefined
      bell.end().catch(() => {})
    }
    bell.on('error', fall)
    bell.on('end', fall)
    bell.on('notification', ({ payload }) => {
      if (payload === this.#trial) this.#onTrial()
      else if (payload !== String(this.#own)) this.ring()
    })
    await bell.connect()
    await bell.query(`LISTEN ${channel}`)
    this.#bell = bell
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#wake = () => {}
        this.#rang = false
        resolve()
      }
      const timer = setTimeout(end, ms)
      this.#wake = end
      if (this.#rang) end()
    })
  }
}

/** Rings the bells of the other processes. */
export const ringOthers = async (pool: pg.Pool, own: bigint): Promise<void> => {
  await runStatement(pool, 'SELECT pg_notify($1, $2)', [channel, String(own)])
}

function cursorsOf(row: Row): readonly Cursor[] {
  const after = textsOf(row, 'after_sequences')
  return textsOf(row, 'topics').map((topic, at) => ({
    topic,
    afterSequence: BigInt(after[at] ?? 0),
  }))
}

/** One cursor a topic: its news begin after it. */
function lowest(cursors: readonly Cursor[]): readonly Cursor[] {
  const byTopic = new Map<string, Cursor>()
  for (const cursor of cursors) {
    const known = byTopic.get(cursor.topic)
    if (known === undefined || cursor.afterSequence < known.afterSequence) {
      byTopic.set(cursor.topic, cursor)
    }
  }
  return [...byTopic.values()]
}
