/** The clients of a run, in their own process. */
import { setTimeout as pause } from 'node:timers/promises'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { minuteNs, nodeClient } from '../../tests/node/support.ts'
import { answerCalls } from './children.ts'
import { countEnvelopes, event, messagesOf } from './frames.ts'
import { Http2Connection } from './http2-connection.ts'
import { inboxCount, makeInboxes, replayEnvelopes } from './inboxes.ts'
import { type LoadResult, load, percentiles } from './load.ts'
import { claimBody, headersOf, PublishBodies, queryBody, subscribeBody } from './requests.ts'
import { catchUp, follow, IdleStreams } from './streams.ts'

export interface Task {
  readonly port: number
  readonly callers: number
  readonly seconds: number
}

const inboxes = makeInboxes()
const topics = inboxes.slice(0, inboxCount).map(({ inbox }) => inbox)
const replayed = inboxes.slice(inboxCount)
let idle: IdleStreams | undefined
let begun: () => void = () => {}
let beginning = Promise.resolve()

/** Makes `untilBegun` wait until the next load's warm-up is over. */
const arm = (): void => {
  beginning = new Promise((resolve) => {
    begun = resolve
  })
}

async function infoOf(port: number) {
  const { nodeId, nodeNs } = await nodeClient(
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }),
  ).getInfo({})
  return { nodeId, expiresNs: nodeNs + 9n * minuteNs }
}

const calls = {
  arm,
  untilBegun: () => beginning,

  publish({ batch, ...task }: Task & { readonly batch: number }): Promise<LoadResult> {
    const bodies = new PublishBodies(topics, batch)
    return load({
      ...task,
      rpc: 'Publish',
      body: () => bodies.next(),
      // Its receipts are its fields: a list like that of a page.
      count: (message) => (countEnvelopes(message) === batch ? batch : 0),
      begin: () => begun(),
    })
  },

  /** Pages of 500. */
  async query(task: Task): Promise<LoadResult> {
    const { nodeId, expiresNs } = await infoOf(task.port)
    const bodies = replayed.flatMap((owner) =>
      Array.from({ length: replayEnvelopes / 500 }, (_, page) =>
        queryBody(owner, page * 500, nodeId, expiresNs),
      ),
    )
    let next = 0
    return load({
      ...task,
      rpc: 'Query',
      body: () => {
        next += 1
        return bodies[next % bodies.length] ?? Buffer.alloc(0)
      },
      count: countEnvelopes,
      begin: () => begun(),
    })
  },

  claim(task: Task): Promise<LoadResult> {
    let next = 0
    return load({
      ...task,
      rpc: 'ClaimPrekeys',
      body: () => {
        next = (next + 1) % inboxCount
        return claimBody(inboxes[next]?.id ?? '')
      },
      // An answer without a key has only an id.
      count: (message) => (message.length > 120 ? 1 : 0),
      begin: () => begun(),
    })
  },

  /** Streams from the beginning, repeatedly. */
  async catchUp({ port, seconds }: Task): Promise<{ readonly perSecond: number }> {
    const { nodeId, expiresNs } = await infoOf(port)
    const bodies = replayed.map((owner) => subscribeBody(owner, 0n, nodeId, expiresNs))
    await catchUp(port, bodies)
    begun()
    const startedMs = performance.now()
    let count = 0
    while (performance.now() - startedMs < seconds * 1_000) count += await catchUp(port, bodies)
    return { perSecond: (count / (performance.now() - startedMs)) * 1_000 }
  },

  /** One message after another to one inbox, whose owner listens on this node or on another one. */
  async latency(options: {
    readonly port: number
    readonly listenPort: number
    readonly count: number
    readonly pauseMs: number
  }): Promise<{ readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }> {
    const owner = replayed[0]
    if (owner === undefined) throw new Error('nobody listens')
    const { nodeId, expiresNs } = await infoOf(options.listenPort)
    const publisher = await Http2Connection.open(options.port)
    const listener = await Http2Connection.open(options.listenPort)
    const bodies = new PublishBodies([owner.inbox], 1)
    const headers = headersOf('Publish')
    const delays: number[] = []
    let onCounter: (counter: number) => void = () => {}
    const body = subscribeBody(owner, BigInt(replayEnvelopes), nodeId, expiresNs)
    const live = new Promise<void>((resolve, reject) => {
      follow(listener, body, (kind, bytes) => {
        if (kind === event.caughtUp) resolve()
        if (kind !== event.envelopes) return
        for (const message of messagesOf(bytes)) onCounter(PublishBodies.counterOf(message) ?? -1)
      }).catch(reject)
    })
    await live
    for (let nth = 0; nth < options.count; nth += 1) {
      const request = bodies.next()
      const startedMs = performance.now()
      await new Promise<void>((resolve, reject) => {
        const waiting = setTimeout(() => reject(new Error('a message did not come')), 30_000)
        onCounter = (counter) => {
          if (counter !== bodies.latest) return
          delays.push(performance.now() - startedMs)
          clearTimeout(waiting)
          resolve()
        }
        publisher.request(headers, request, { data() {}, end() {}, failed: reject })
      })
      await pause(options.pauseMs)
    }
    publisher.close()
    listener.close()
    const of = percentiles(delays)
    return { p50Ms: of(0.5), p99Ms: of(0.99), maxMs: of(1) }
  },

  async holdStreams({ port, count }: { readonly port: number; readonly count: number }) {
    const { nodeId, expiresNs } = await infoOf(port)
    idle = new IdleStreams()
    // Beyond what any topic reaches: there is nothing to catch up with.
    const bodies = inboxes
      .slice(0, count)
      .map((owner) => subscribeBody(owner, 2n ** 62n, nodeId, expiresNs))
    await idle.open(port, bodies)
  },
  resetStreams: () => idle?.reset(),
  stateOfStreams: () => idle?.state(),
  releaseStreams: () => idle?.close(),
}

export type ClientCalls = typeof calls

answerCalls(calls)
