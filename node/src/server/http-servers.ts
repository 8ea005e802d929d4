/**
 * An HTTP/1.1 and an HTTP/2 server without ports of their own: they take connections that are handed
 * over, in clear or decrypted, and end those that keep others waiting.
 */
import http from 'node:http'
import http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Request, Response } from './rpc-handler.ts'

export interface HttpLimits {
  /** From the first byte of a request to the end of its headers. */
  readonly headersTimeoutMs: number
  /** Until a request has arrived as a whole. */
  readonly requestTimeoutMs: number
  /** How long nothing may move. */
  readonly idleTimeoutMs: number
  /** Requests under way at a time on one HTTP/2 connection. */
  readonly concurrentStreams: number
}

export interface HttpServers {
  take(protocol: 'http1' | 'http2', socket: Duplex): void
  /** Ends connections once nothing is under way on them. */
  drain(): void
  /** Cancels what is under way over HTTP/2: some clients take a mere end for no answer yet. */
  cut(): void
  close(): void
}

/**
 * How much a client may send ahead on an HTTP/2 connection and on each of its streams: 64 KiB, as it
 * would be, is 25 MiB in 40 seconds where a round trip takes 100 ms.
 */
const windowBytes = 1024 * 1024

export function createHttpServers(
  limits: HttpLimits,
  handle: (request: Request, response: Response) => void,
): HttpServers {
  const { headersTimeoutMs, requestTimeoutMs, idleTimeoutMs, concurrentStreams } = limits
  let draining = false

  const http1 = http.createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs / 2),
      keepAliveTimeout: idleTimeoutMs,
    },
    (request, response) => {
      response.once('finish', () => {
        if (draining) setImmediate(() => http1.closeIdleConnections())
      })
      handle(request, response)
    },
  )
  // Heartbeats keep a stream alive, unless its reader takes nothing.
  http1.timeout = idleTimeoutMs

  const sessions = new Set<http2.ServerHttp2Session>()
  const streams = new Set<http2.ServerHttp2Stream>()
  const http2Server = http2.createServer(
    { settings: { maxConcurrentStreams: concurrentStreams, initialWindowSize: windowBytes } },
    (request, response) => {
      limitBody(request.stream, requestTimeoutMs)
      handle(request, response)
    },
  )
  // A session that times out is destroyed, as nothing listens for it.
  http2Server.setTimeout(idleTimeoutMs)
  http2Server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    session.once('connect', () => session.setLocalWindowSize(windowBytes))
    session.on('stream', (stream) => {
      streams.add(stream)
      stream.once('close', () => streams.delete(stream))
    })
    endWhenUnused(session, idleTimeoutMs)
  })
  // What a peer breaks, it breaks for itself; the session is gone already.
  http2Server.on('sessionError', () => {})

  // Connections are handed over; this starts the watch over slow requests.
  http1.emit('listening')

  return {
    take(protocol, socket) {
      const server = protocol === 'http2' ? http2Server : http1
      server.emit('connection', socket)
    },
    drain() {
      draining = true
      for (const session of sessions) session.close()
      http1.closeIdleConnections()
    },
    cut() {
      for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL)
    },
    close() {
      http1.close()
      http2Server.close()
    },
  }
}

/** What Node's HTTP/1.1 server does for the body of each request, for a stream of HTTP/2. */
function limitBody(stream: http2.ServerHttp2Stream, limitMs: number): void {
  const timer = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), limitMs)
  stream.once('end', () => clearTimeout(timer))
  stream.once('close', () => clearTimeout(timer))
}

/** Pings and settings keep a session busy, but they are no use of it. */
function endWhenUnused(session: http2.ServerHttp2Session, idleTimeoutMs: number): void {
  let open = 0
  const timer = setTimeout(() => session.destroy(), idleTimeoutMs)
  session.on('stream', (stream) => {
    open += 1
    clearTimeout(timer)
    stream.once('close', () => {
      open -= 1
      if (open === 0 && !session.destroyed) timer.refresh()
    })
  })
  session.once('close', () => clearTimeout(timer))
}
