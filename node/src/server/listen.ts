/**
 * One cleartext port for gRPC-web and Connect over HTTP/1.1, and gRPC over HTTP/2, with CORS for
 * browsers. TLS belongs here when it comes.
 */
import http from 'node:http'
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import { type ConnectRouter, cors as corsLists } from '@connectrpc/connect'
import cors from 'cors'
import { sniffProtocol } from './protocol-sniffer.ts'
import { createRpcHandler, type Request, type Response } from './rpc-handler.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly routes: (router: ConnectRouter) => void
}

export interface Listener {
  /** Where clients reach it, without a slash at the end. */
  readonly url: string
  /** Takes no more connections, waits for requests under way at most this long, then cuts the rest. */
  close(graceMs: number): Promise<void>
}

/**
 * A connection on which nothing moves for so long is cut. Heartbeats keep a stream alive, unless its
 * reader takes nothing: then this ends it.
 */
const idleLimitMs = 120_000
/** Requests under way at a time on one HTTP/2 connection. */
const concurrentStreams = 256

/** @throws Error with a `code` as of `net.Server.listen`, EADDRINUSE for instance. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const answer = createRpcHandler(options.routes)
  const allowBrowsers = cors({
    // Nothing here rests on who sends a request, so any page may talk to any node.
    origin: '*',
    methods: [...corsLists.allowedMethods],
    allowedHeaders: [...corsLists.allowedHeaders],
    exposedHeaders: [...corsLists.exposedHeaders],
    maxAge: 7_200,
  })
  let closing = false
  const handle = (request: Request, response: Response): void => {
    response.once('finish', () => {
      if (closing) setImmediate(() => http1.closeIdleConnections())
    })
    allowBrowsers(request, response, () => answer(request, response))
  }

  const http1 = http.createServer(handle)
  http1.timeout = idleLimitMs
  const sessions = new Set<http2.ServerHttp2Session>()
  const http2Server = http2.createServer(
    { settings: { maxConcurrentStreams: concurrentStreams } },
    handle,
  )
  // A session that times out is destroyed, as nothing listens for it.
  http2Server.setTimeout(idleLimitMs)
  http2Server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  // What a peer breaks, it breaks for itself; the session is gone already.
  http2Server.on('sessionError', () => {})

  const sockets = new Set<Socket>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // Resets are routine, and an error without a listener would end the process.
    socket.on('error', () => {})
    sniffProtocol(socket, (protocol) => {
      const target = protocol === 'http2' ? http2Server : http1
      target.emit('connection', socket)
    })
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  // The HTTP/1.1 server gets its connections handed over; this starts its watch over slow requests.
  http1.emit('listening')

  return {
    url: urlOf(server.address(), options.host),
    async close(graceMs) {
      closing = true
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      for (const session of sessions) session.close()
      http1.closeIdleConnections()
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, graceMs)
      await closed
      clearTimeout(timer)
      http1.close()
    },
  }
}

function urlOf(address: net.AddressInfo | string | null, host: string): string {
  const port = address === null || typeof address === 'string' ? '' : `:${address.port}`
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host
  return `http://${net.isIPv6(name) ? `[${name}]` : name}${port}`
}
