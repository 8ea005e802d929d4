/**
 * A TCP relay in front of a node, so that a test can cut streams that are already open, and keep
 * the node's address while the node itself moves.
 */
import { createServer, connect as dial, type Socket } from 'node:net'

export interface Proxy {
  readonly url: string
  /** Where to relay to from now on; undefined: refuse. */
  target(port: number | undefined): void
  /** Ends every open connection. */
  cut(): void
  close(): Promise<void>
}

export const startProxy = async (): Promise<Proxy> => {
  let port: number | undefined
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    if (port === undefined) {
      client.destroy()
      return
    }
    const upstream = dial(port, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${address.port}`,
    target: (next) => {
      port = next
    },
    cut,
    close: () =>
      new Promise((resolve) => {
        cut()
        server.close(() => resolve())
      }),
  }
}
