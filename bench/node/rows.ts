/** The rows of the table: what is asked of the node, and the same of the bare loop. */
import { setTimeout as pause } from 'node:timers/promises'
import type { BareResult } from './engine.ts'
import { inboxCount } from './inboxes.ts'
import type { LoadResult } from './load.ts'
import type { Measurement } from './report.ts'
import type { Cost } from './server.ts'
import { type Server, type Stage, startServer, watchServer } from './stage.ts'

/** Callers and envelopes a request. */
const publishRows = [
  { callers: 1, batch: 1 },
  { callers: 64, batch: 1 },
  { callers: 1_000, batch: 1 },
  { callers: 1, batch: 20 },
  { callers: 16, batch: 20 },
  { callers: 64, batch: 20 },
] as const

const queryCallers = 4
const claimCallers = 64
/** Stocks are finite. */
const claimSeconds = 2

const measured = (
  stage: Stage,
  what: string,
  unit: Measurement['unit'],
  value: number,
  more: Partial<Measurement> = {},
): Measurement => ({ store: stage.kind, what, unit, value, ...more })

interface Watched {
  readonly result: LoadResult
  readonly cost: Cost
  readonly machineCores: number
}

const costs = (
  { result, cost, machineCores }: Watched,
  bare?: BareResult,
): Pick<Measurement, 'bare' | 'details'> => ({
  ...(bare && { bare: bare.perSecond }),
  details: {
    requestsPerSecond: result.requestsPerSecond,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    delayP99Ms: cost.delayP99Ms,
    delayMaxMs: cost.delayMaxMs,
    nodeCores: cost.cores,
    clientCores: result.cores,
    machineCores,
    // Processor time does not depend on who else uses the machine, as rates do.
    servingMicroseconds: (cost.mainCores / result.perSecond) * 1e6,
    databaseMicroseconds: ((cost.cores - cost.mainCores) / result.perSecond) * 1e6,
    ...(bare && { bareMicroseconds: (bare.cores / bare.perSecond) * 1e6 }),
  },
})

/** Publishing, in turns with the bare loop. */
export async function measurePublishing(
  stage: Stage,
  server: Server,
  seconds: number,
): Promise<readonly Measurement[]> {
  const rows: Measurement[] = []
  const { port } = server
  for (const { callers, batch } of publishRows) {
    const watched = await watchServer(stage, server, () =>
      stage.clients.call('publish', { port, callers, seconds, batch }),
    )
    const bare = await stage.engine.call('write', { seconds, envelopes: callers * batch })
    const what =
      batch === 1
        ? `publish one by one, ${callers} callers`
        : `publish in batches of ${batch}, ${callers} callers`
    rows.push(
      measured(stage, what, '/s', watched.result.perSecond, {
        ...costs(watched, bare),
        // What batches reach together is one goal; the best of them is held against it.
        ...(batch > 1 && callers === 64 ? { atLeast: 10_000, atLeastOfBare: 0.5 } : {}),
      }),
    )
  }
  return rows
}

/** Reading what lies there, and taking prekeys. */
export async function measureServing(
  stage: Stage,
  server: Server,
  seconds: number,
): Promise<readonly Measurement[]> {
  const { port } = server
  const task = { port, callers: queryCallers, seconds }
  const pages = await watchServer(stage, server, () => stage.clients.call('query', task))
  const bareRead = await stage.engine.call('read', seconds)
  const replay = await stage.clients.call('catchUp', task)
  const claim = { port, callers: claimCallers, seconds: Math.min(claimSeconds, seconds) }
  const claims = await watchServer(stage, server, () => stage.clients.call('claim', claim))
  const bareClaims = await stage.engine.call('claim', {
    seconds: claim.seconds,
    keys: claimCallers,
  })
  return [
    measured(
      stage,
      `replay by pages of 500, ${queryCallers} callers`,
      '/s',
      pages.result.perSecond,
      {
        ...costs(pages, bareRead),
      },
    ),
    measured(stage, 'replay by subscription, 4 streams', '/s', replay.perSecond, {
      bare: bareRead.perSecond,
    }),
    measured(stage, `claims of one key, ${claimCallers} callers`, '/s', claims.result.perSecond, {
      ...costs(claims, bareClaims),
    }),
  ]
}

/** How late a subscriber gets an envelope, on this node and on another one of the same database. */
export async function measureLatency(
  stage: Stage,
  server: Server,
  count: number,
): Promise<readonly Measurement[]> {
  const { port } = server
  const rows = (where: string, { p50Ms, p99Ms }: { p50Ms: number; p99Ms: number }) => [
    measured(stage, `publish to subscriber, ${where}, p50`, 'ms', p50Ms),
    measured(stage, `publish to subscriber, ${where}, p99`, 'ms', p99Ms, { atMost: 100 }),
  ]
  const options = { port, count, pauseMs: 10 }
  const same = await stage.clients.call('latency', { ...options, listenPort: port })
  const here = rows('same process', same)
  if (stage.kind === 'sqlite') return here
  const other = await startServer(stage.source)
  const there = await stage.clients.call('latency', { ...options, listenPort: other.port })
  await other.close()
  return [...here, ...rows('another process', there)]
}

/**
 * Memory of subscribers that nothing comes for, and whether they get heartbeats in time while others
 * publish at full rate.
 */
export async function measureSubscribers(
  stage: Stage,
  count: number,
): Promise<readonly Measurement[]> {
  const heartbeatMs = 5_000
  const server = await startServer(stage.source, heartbeatMs)
  const { clients } = stage
  const streams = Math.min(count, inboxCount)
  // What the first connections bring along stays out of it.
  await clients.call('holdStreams', { port: server.port, count: 50 })
  await clients.call('releaseStreams', undefined)
  const before = await server.child.call('memory', undefined)
  await clients.call('holdStreams', { port: server.port, count: streams })
  await pause(2 * heartbeatMs + 500)
  const after = await server.child.call('memory', undefined)
  const quiet = await clients.call('stateOfStreams', undefined)
  if (quiet === undefined || quiet.alive !== streams || quiet.beats < streams) {
    throw new Error(`of ${streams} idle streams ${quiet?.alive ?? 0} are alive`)
  }
  await clients.call('resetStreams', undefined)
  const seconds = 6
  const task = { port: server.port, callers: 16, batch: 20, seconds }
  const watched = await watchServer(stage, server, () => clients.call('publish', task))
  const busy = await clients.call('stateOfStreams', undefined)
  await clients.call('releaseStreams', undefined)
  await server.close()
  if (busy?.alive !== streams) throw new Error('idle streams ended while others published')
  const during = `with ${streams} live subscribers`
  return [
    measured(
      stage,
      `memory of a subscriber, ${streams} of them`,
      'KiB',
      (after - before) / 1024 / streams,
    ),
    measured(
      stage,
      `publish in batches of 20, 16 callers, ${during}`,
      '/s',
      watched.result.perSecond,
      costs(watched),
    ),
    measured(
      stage,
      `heartbeats of ${heartbeatMs} ms meanwhile, at most apart`,
      'ms',
      busy.longestSilenceMs,
    ),
  ]
}

/** From the start of the process until it answers. */
export async function measureStart(stage: Stage, times: number): Promise<Measurement> {
  const taken: number[] = []
  for (let nth = 0; nth < times; nth += 1) {
    const server = await startServer(stage.source)
    taken.push(server.startMs)
    await server.close()
  }
  taken.sort((a, b) => a - b)
  return measured(stage, 'start, until it answers', 'ms', taken[taken.length >> 1] ?? 0)
}
