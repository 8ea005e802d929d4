/**
 * What a node costs on either store, next to a bare loop that writes the same rows in the same run.
 * README.md says what is measured and how to read it.
 *
 *   node bench/node.ts [--store sqlite|postgres|both] [--seconds 3] [--rounds 2] [--quick]
 *                      [--fill 10000000] [--profile]
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import nodePackage from '../node/package.json' with { type: 'json' }
import { root } from '../scripts/files.ts'
import { ensurePostgres, type Postgres } from '../scripts/postgres.ts'
import { type Measurement, printRows, summarize, writeRows } from './node/report.ts'
import {
  measureLatency,
  measurePublishing,
  measureServing,
  measureStart,
  measureSubscribers,
} from './node/rows.ts'
import { openStage, type Stage, type StoreKind, startServer } from './node/stage.ts'
import { printProfile } from './node/where.ts'

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'both' },
    /** Per row, besides its warm-up. */
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '2' },
    /** Shows that it works, not what it costs. */
    quick: { type: 'boolean', default: false },
    /** Also with this many envelopes in the store. */
    fill: { type: 'string', default: '0' },
    /** Only where publishing in batches spends its time. */
    profile: { type: 'boolean', default: false },
  },
})
const seconds = values.quick ? 0.5 : Number(values.seconds)
const rounds = values.quick ? 1 : Number(values.rounds)
const subscribers = values.quick ? 200 : 5_000
const latencies = values.quick ? 50 : 500
const base = 10_000
const large = Number(values.fill)
const kinds = (['sqlite', 'postgres'] as const).filter(
  (kind) => values.store === 'both' || values.store === kind,
)
if (kinds.length === 0 || !(seconds > 0) || !(rounds >= 1) || !(large >= 0)) {
  throw new Error('--store is sqlite, postgres or both; the other options are numbers')
}

const start = performance.now()
const say = (what: string): void => {
  console.error(`${((performance.now() - start) / 1_000).toFixed(0).padStart(4)} s  ${what}`)
}

const measured: { readonly stored: number; readonly rows: readonly Measurement[] }[] = []

/** Every rate, at the store's current size. */
async function measureRates(stage: Stage, stored: number): Promise<void> {
  measured.push({ stored, rows: [await measureStart(stage, 3)] })
  const server = await startServer(stage.source)
  for (let round = 1; round <= rounds; round += 1) {
    say(`${stage.kind}, ${stored} stored: round ${round}`)
    const publishing = await measurePublishing(stage, server, seconds)
    const serving = await measureServing(stage, server, seconds)
    measured.push({ stored, rows: [...publishing, ...serving] })
  }
  await server.close()
}

async function measureStore(kind: StoreKind, postgres: Postgres | undefined): Promise<void> {
  say(`${kind}: tables, accounts, prekeys`)
  const stage = await openStage(kind, postgres)
  try {
    await stage.fill(base)
    if (values.profile) {
      await printProfile(stage, seconds)
      return
    }
    const server = await startServer(stage.source)
    say(`${kind}: latency`)
    measured.push({ stored: base, rows: await measureLatency(stage, server, latencies) })
    await server.close()
    await measureRates(stage, base)
    say(`${kind}: subscribers`)
    measured.push({ stored: base, rows: await measureSubscribers(stage, subscribers) })
    if (large > 0) {
      say(`${kind}: filling`)
      const took = await stage.fill(large)
      say(`${kind}: ${large} envelopes filled in ${took.toFixed(0)} s`)
      await measureRates(stage, large)
    }
  } finally {
    await stage.close()
  }
}

const postgres = kinds.includes('postgres') ? await ensurePostgres() : undefined
try {
  for (const kind of kinds) await measureStore(kind, postgres)
} finally {
  await postgres?.close()
}
if (measured.length > 0) {
  say('done\n')
  const rows = summarize(measured)
  printRows(rows)
  const name = writeRows(join(root, 'bench/results'), rows, {
    'padlock-node': nodePackage.version,
    node: process.versions.node,
    cores: availableParallelism(),
    secondsOfRow: seconds,
    rounds,
    seconds: Math.round((performance.now() - start) / 1_000),
  })
  console.log(`\nwritten to bench/results/${name}`)
}
