/**
 * A database without the node: fills it, and writes, reads and takes the same rows in a bare loop,
 * the limit that the node is compared with. Runs in its own process.
 */
import type { DatabaseSource } from '../../node/src/store/database-thread.ts'
import { answerCalls, watchCpu } from './children.ts'
import type { Engine } from './engine-interface.ts'
import { openPostgresEngine } from './engine-postgres.ts'
import { openSqliteEngine } from './engine-sqlite.ts'
import { makeInboxes } from './inboxes.ts'

let engine: Engine | undefined

const opened = (): Engine => {
  if (engine === undefined) throw new Error('no database is open')
  return engine
}

export interface BareResult {
  readonly perSecond: number
  /** Of this process, in cores: includes SQLite's work, but not PostgreSQL's. */
  readonly cores: number
}

/** Repeats a step, after a warm-up. */
async function repeat(seconds: number, step: () => Promise<number>): Promise<BareResult> {
  const warmMs = performance.now() + seconds * 250
  while (performance.now() < warmMs) await step()
  const startedMs = performance.now()
  const cores = watchCpu()
  let count = 0
  while (performance.now() - startedMs < seconds * 1_000) count += await step()
  return { perSecond: (count / (performance.now() - startedMs)) * 1_000, cores: cores() }
}

const calls = {
  async open(source: DatabaseSource) {
    const inboxes = makeInboxes()
    engine =
      source.kind === 'sqlite'
        ? openSqliteEngine(source.file, inboxes)
        : await openPostgresEngine(source.url, inboxes)
  },
  prepare: () => opened().prepare(),
  fill: (envelopes: number) => opened().fill(envelopes),
  async write({ seconds, envelopes }: { readonly seconds: number; readonly envelopes: number }) {
    await opened().refresh()
    return repeat(seconds, async () => {
      await opened().write(envelopes)
      return envelopes
    })
  },
  read: (seconds: number) => repeat(seconds, () => opened().read()),
  claim: ({ seconds, keys }: { readonly seconds: number; readonly keys: number }) =>
    repeat(seconds, async () => {
      await opened().claim(keys)
      return keys
    }),
  async close() {
    await engine?.close()
    engine = undefined
  },
}

export type EngineCalls = typeof calls

answerCalls(calls)
