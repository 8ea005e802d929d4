/** A node from its storage to its port. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type ChainsOptions, openChains } from './chains/chains.ts'
import { DataRoom, type Room } from './limits/data-room.ts'
import { type AdminServer, startAdminServer } from './observe/admin.ts'
import type { Metrics } from './observe/metrics.ts'
import { createReadiness } from './observe/readiness.ts'
import { type ListenOptions, listen } from './server/listen.ts'
import { addServerMetrics } from './server/metrics.ts'
import { CertificateProblem } from './server/tls.ts'
import { createNodeService, type NodeServiceOptions } from './service.ts'
import { type DatabaseSource, openThreadStore } from './store/database-thread.ts'
import type { PostgresOptions } from './store/postgres/postgres.ts'
import { urlsOf } from './store/postgres/urls.ts'

/** Where the data is: in a folder, created if missing, or in a PostgreSQL database. */
export type Storage =
  | { readonly data: string; readonly database?: undefined }
  | { readonly database: Omit<PostgresOptions, 'chainIds'>; readonly data?: undefined }

interface Parts
  extends Omit<NodeServiceOptions, 'store' | 'chains' | 'room'>,
    Omit<ListenOptions, 'routes' | 'limits'> {
  /** URLs of RPC servers by chain id; by default none. */
  readonly chains?: ReadonlyMap<bigint, string>
  readonly onChainTrouble?: ChainsOptions['onTrouble']
  readonly serverLimits?: ListenOptions['limits']
  /** What the data may take; by default what the disk has. */
  readonly dataLimitBytes?: number | undefined
  /** Called when there is little room for data, none, or enough again. */
  readonly onRoom?: ((room: Room) => void) | undefined
  /** A second port, for the operator. */
  readonly admin?: { readonly host: string; readonly port: number }
  /** What the second port shows; its observer is to be among those of the service. */
  readonly metrics?: Metrics
  /** How long it goes on serving after `close`, and says that it is not ready. */
  readonly stopDelayMs?: number
  /** How long running requests may take after that. */
  readonly stopGraceMs?: number
  /** Called if the database thread ended, so that the node cannot go on. */
  readonly onFailure?: (reason: string) => void
}

export type NodeOptions = Storage & Parts

export interface RunningNode {
  /** Where clients reach it, without a slash at the end. */
  readonly url: string
  /** The second port; absent if there is none. */
  readonly adminUrl: string | undefined
  readonly nodeId: Uint8Array
  /** Maximum open connections. */
  readonly connectionLimit: number
  /** Reads the certificate again. */
  reloadCertificate(): void
  /** Stops being ready, ends the streams, answers running requests, closes the database. */
  close(): Promise<void>
}

/** @throws Error, with a sentence for the person who starts it. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { port, host, admin, metrics, stopDelayMs = 0, stopGraceMs = 10_000 } = options
  const { chains: urls = new Map<bigint, string>(), onChainTrouble } = options
  const opened: { close(): unknown }[] = []
  const closeAll = async (): Promise<void> => {
    for (const part of opened.splice(0).reverse()) await part.close()
  }
  const readiness = createReadiness()
  try {
    const adminServer = await openAdmin()
    const store = await openStore()
    opened.push(store)
    const chains = openChains(urls, onChainTrouble && { onTrouble: onChainTrouble })
    opened.push(chains)
    const room = new DataRoom({
      measure: () => store.occupancy(),
      limitBytes: options.dataLimitBytes,
      exempt: options.exempt,
      onChange: options.onRoom,
    })
    opened.push(room)
    await room.look()
    const service = createNodeService({ ...options, store, chains, room })
    opened.push(service)
    const server = await named(
      `${host}:${port}`,
      listen({
        ...options,
        routes: service.routes,
        limits: options.serverLimits ?? {},
      }),
    )
    metrics?.watch(() => ({
      streams: service.subscribers,
      streamBytes: service.waitingBytes,
      storeWaiting: store.waiting,
      dataBytes: room.usedBytes,
    }))
    if (metrics) addServerMetrics(metrics.registry, server)
    readiness.serve(store)
    return {
      url: server.url,
      adminUrl: adminServer?.url,
      nodeId: store.nodeId,
      connectionLimit: server.connectionLimit,
      reloadCertificate: () => server.reloadCertificate(),
      async close() {
        readiness.drain()
        if (stopDelayMs > 0) await wait(stopDelayMs)
        service.close()
        await server.close(stopGraceMs)
        await closeAll()
      },
    }
  } catch (error) {
    await closeAll()
    throw error
  }

  /** First, so that it can report that the rest is still starting. */
  async function openAdmin(): Promise<AdminServer | undefined> {
    if (admin === undefined || metrics === undefined) return undefined
    const { registry } = metrics
    const server = await named(
      `${admin.host}:${admin.port}`,
      startAdminServer({ ...admin, registry, isReady: () => readiness.isReady() }),
    )
    opened.push(server)
    return server
  }

  function openStore() {
    const chainIds = [...urls.keys()]
    const { data, database } = options
    const [what, source]: [string, DatabaseSource] =
      database === undefined
        ? [`the data in ${data}`, { kind: 'sqlite', file: join(data, 'node.sqlite'), chainIds }]
        : [
            `the database ${showDatabase(database.url)}`,
            { kind: 'postgres', ...database, chainIds },
          ]
    return named(
      what,
      (async () => {
        if (data !== undefined) {
          mkdirSync(data, { recursive: true, mode: 0o700 })
          // SQLite would blame the disk instead.
          assertWritable(join(data, 'node.sqlite'))
        }
        return openThreadStore({
          ...options,
          source,
          chainIds,
          onSweepFailure: (reason) => options.observer?.storageFailed(`old data stays: ${reason}`),
        })
      })(),
    )
  }
}

/** @throws Error with the code EACCES or EROFS if the file is there and may not be written. */
function assertWritable(file: string): void {
  if (existsSync(file)) accessSync(file, constants.R_OK | constants.W_OK)
}

/** A connection string without its user, password and parameters. */
export function showDatabase(text: string): string {
  const urls = urlsOf(text).flatMap((url) => URL.parse(url) ?? [])
  const [first] = urls
  if (first === undefined) return 'postgres://…'
  return `postgres://${urls.map(({ host }) => host).join(',')}${first.pathname}`
}

/** Awaits the opening; turns a failure into a sentence about what was opened. */
async function named<T>(what: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening
  } catch (error) {
    if (error instanceof CertificateProblem) throw error
    throw new Error(sentence(error, what), { cause: error })
  }
}

function sentence(error: unknown, what: string): string {
  const message = error instanceof Error ? error.message : 'unknown'
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE')
    return `${what} is taken: stop what listens there, or choose another port.`
  if (code === 'EROFS') return `${what} is on a file system that may only be read.`
  if (code === 'EACCES') return `${what} may not be used by this user.`
  if (code === 'EADDRNOTAVAIL') return `${what} is not an address of this machine.`
  if (/database is locked/.test(message)) return `${what} is in use by another node.`
  if (/not a database|malformed/.test(message)) return `${what} is not a node's, or is damaged.`
  // An error of several addresses of one name has no message.
  if (message === '') return `${what} cannot be reached.`
  return `${what} cannot be used: ${message.replace(/\.$/, '')}.`
}
