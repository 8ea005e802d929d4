/** The node of a run, in its own process, and what it costs its machine. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { listen } from '../../node/src/server/listen.ts'
import { createNodeService } from '../../node/src/service.ts'
import { type DatabaseSource, openThreadStore } from '../../node/src/store/database-thread.ts'
import { answerCalls, watchCpu } from './children.ts'
import { startProfile } from './profile.ts'

export interface Cost {
  /** Of the whole process, in cores. */
  readonly cores: number
  /** Of the thread that serves, in cores; the rest is the database's thread. */
  readonly mainCores: number
  /** How late the serving thread's timers were; the measuring timer itself has 1 ms. */
  readonly delayP99Ms: number
  readonly delayMaxMs: number
}

let stop: (() => Promise<void>) | undefined
let endWatch: (() => Cost) | undefined
let endProfile: Awaited<ReturnType<typeof startProfile>> | undefined

const watch = (): (() => Cost) => {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const cores = watchCpu()
  const before = process.threadCpuUsage()
  const startedMs = performance.now()
  return () => {
    delay.disable()
    const { user, system } = process.threadCpuUsage(before)
    return {
      cores: cores(),
      mainCores: (user + system) / 1_000 / (performance.now() - startedMs),
      delayP99Ms: delay.percentile(99) / 1e6,
      delayMaxMs: delay.max / 1e6,
    }
  }
}

const calls = {
  /** @returns the port. */
  async open({ source, heartbeatMs }: { source: DatabaseSource; heartbeatMs: number }) {
    const store = await openThreadStore({ source })
    const service = createNodeService({ store, heartbeatMs })
    const listener = await listen({ host: '127.0.0.1', port: 0, routes: service.routes })
    stop = async () => {
      service.close()
      await listener.close(1_000)
      await store.close()
    }
    return Number(new URL(listener.url).port)
  },
  begin() {
    endWatch = watch()
  },
  finish(): Cost {
    if (endWatch === undefined) throw new Error('nothing was begun')
    return endWatch()
  },
  /** Bytes in memory after garbage collection. */
  memory(): number {
    globalThis.gc?.()
    globalThis.gc?.()
    return process.memoryUsage.rss()
  },
  async beginProfile() {
    endProfile = await startProfile()
  },
  async finishProfile() {
    if (endProfile === undefined) throw new Error('nothing was begun')
    return endProfile()
  },
  async close() {
    await stop?.()
  },
}

export type ServerCalls = typeof calls

answerCalls(calls)
