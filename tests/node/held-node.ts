/** A node's port with RPCs that a test holds and releases, and raw connections to it. */
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import type { ConnectRouter } from '@connectrpc/connect'
import { onTestFinished } from 'vitest'
import { callerKey } from '../../node/src/server/caller.ts'
import { type ListenOptions, listen } from '../../node/src/server/listen.ts'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'

interface Asked {
  readonly caller: string
  readonly bytes: number
}

/** RPCs that keep what they were asked, and answer when a test lets them. */
export async function start(options: Partial<ListenOptions> = {}) {
  const asked: Asked[] = []
  const held: (() => void)[] = []
  let holds = false
  const routes = (router: ConnectRouter): void => {
    router.service(NodeService, {
      getInfo: (_, { values }) => {
        asked.push({ caller: values.get(callerKey), bytes: 0 })
        return {}
      },
      async publish({ envelopes }, { values }) {
        const bytes = envelopes.reduce((sum, { message }) => sum + message.length, 0)
        asked.push({ caller: values.get(callerKey), bytes })
        if (holds) await new Promise<void>((resolve) => held.push(resolve))
        return {}
      },
      async *subscribe(_, { signal }) {
        yield { event: { case: 'started', value: {} } }
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      },
    })
  }
  const started = await listen({ host: '127.0.0.1', port: 0, routes, ...options })
  onTestFinished(() => started.close(0))
  return {
    listener: started,
    url: started.url,
    port: Number(new URL(started.url).port),
    asked,
    /** From now on a publish is answered only by `release`. */
    hold() {
      holds = true
    },
    release() {
      holds = false
      for (const answer of held.splice(0)) answer()
    },
    held: () => held.length,
  }
}

/** A raw connection. */
export async function connectTo(port: number): Promise<Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

export async function http2Session(url: string) {
  const session = http2.connect(url)
  session.on('error', () => {})
  onTestFinished(() => session.destroy())
  await once(session, 'connect')
  return session
}

export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
