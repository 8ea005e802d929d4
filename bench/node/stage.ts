/** The setup of a run on one store: its database, the node, the clients and the bare loop. */
import { constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSource } from '../../node/src/store/database-thread.ts'
import type { Postgres } from '../../scripts/postgres.ts'
import { type Child, startChild } from './children.ts'
import type { ClientCalls } from './clients.ts'
import type { EngineCalls } from './engine.ts'
import type { Cost, ServerCalls } from './server.ts'

export type StoreKind = DatabaseSource['kind']

/** A running node. */
export interface Server {
  readonly port: number
  /** From the start of its process until it answers. */
  readonly startMs: number
  readonly child: Child<ServerCalls>
  close(): Promise<void>
}

export interface Stage {
  readonly kind: StoreKind
  readonly clients: Child<ClientCalls>
  readonly engine: Child<EngineCalls>
  readonly source: DatabaseSource
  /** Fills the store, while the node is stopped. @returns seconds. */
  fill(envelopes: number): Promise<number>
  close(): Promise<void>
}

/** Long enough that no heartbeat falls into a row. */
const quietMs = 20_000

export async function startServer(source: DatabaseSource, heartbeatMs = quietMs): Promise<Server> {
  const startedMs = performance.now()
  const child = startChild<ServerCalls>('./server.ts', { execArgv: ['--expose-gc'] })
  const port = await child.call('open', { source, heartbeatMs })
  return {
    port,
    startMs: performance.now() - startedMs,
    child,
    async close() {
      await child.call('close', undefined)
      await child.end()
    },
  }
}

/** Makes a database with tables, accounts and prekeys in it. */
export async function openStage(kind: StoreKind, postgres: Postgres | undefined): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-bench-'))
  const source: DatabaseSource =
    kind === 'sqlite'
      ? { kind, file: join(folder, 'node.sqlite') }
      : { kind, url: (await postgres?.createDatabase()) ?? '' }
  // Only one process can hold the SQLite file: the bare loop has a copy.
  const bareSource: DatabaseSource =
    source.kind === 'sqlite' ? { ...source, file: join(folder, 'bare.sqlite') } : source

  const first = await startServer(source)
  await first.close()
  const engine = startChild<EngineCalls>('./engine.ts')
  const clients = startChild<ClientCalls>('./clients.ts')
  await engine.call('open', source)
  await engine.call('prepare', undefined)

  return {
    kind,
    clients,
    engine,
    source,
    async fill(envelopes) {
      await engine.call('close', undefined)
      await engine.call('open', source)
      const startedMs = performance.now()
      await engine.call('fill', envelopes)
      const seconds = (performance.now() - startedMs) / 1_000
      await engine.call('close', undefined)
      if (source.kind === 'sqlite' && bareSource.kind === 'sqlite') {
        rmSync(`${bareSource.file}-wal`, { force: true })
        copyFileSync(source.file, bareSource.file, constants.COPYFILE_FICLONE)
      }
      await engine.call('open', bareSource)
      return seconds
    },
    async close() {
      await engine.call('close', undefined)
      await engine.end()
      await clients.end()
      rmSync(folder, { recursive: true, force: true })
      if (source.kind === 'postgres') await postgres?.dropDatabase(source.url)
    },
  }
}

/**
 * What a step cost the node and the whole machine, from when the clients report that it is warm.
 */
export async function watchServer<T>(
  { clients }: Stage,
  server: Server,
  step: () => Promise<T>,
): Promise<{ readonly result: T; readonly cost: Cost; readonly machineCores: number }> {
  await clients.call('arm', undefined)
  const running = step()
  await Promise.race([clients.call('untilBegun', undefined), running])
  await server.child.call('begin', undefined)
  const before = busyMs()
  const startedMs = performance.now()
  const result = await running
  const cost = await server.child.call('finish', undefined)
  const machineCores = (busyMs() - before) / (performance.now() - startedMs)
  return { result, cost, machineCores }
}

/** Of all processors, by any process. */
const busyMs = (): number =>
  cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
