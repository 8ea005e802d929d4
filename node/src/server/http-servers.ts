/**
 * An HTTP/1.1 and an HTTP/2 server without ports: they serve connections that they are given, in
 * clear or decrypted, and end those that block others.
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
  /** How long a connection may stay without traffic. */
  readonly idleTimeoutMs: number
  /** Requests under way at a time on one HTTP/2 connection. */
  readonly concurrentStreams: number
}

export interface HttpServers {
  /** @param isShared the connection is a trusted proxy's, and so of many callers. */
  take(protocol: 'http1' | 'http2', socket: Duplex, isShared: boolean): void
  /** Ends each connection once no request runs on it. */
  drain(): void
  /** Cancels running HTTP/2 requests: some clients wait on after a connection that merely ends. */
  cut(): void
  close(): void
}

/**
 * How much a client may send ahead on an HTTP/2 connection and on each of its streams. With the
 * default of 64 KiB and a round trip of 100 ms, 25 MiB would take 40 seconds.
 */
const windowBytes = 1024 * 1024

/**
 * A peer that cancels more requests than this at once, or a second, or opens more than it may, or holds
 * more megabytes, loses its connection (CVE-2023-44487). Node's own numbers, 1,000, 33, 100 and 10, are
 * for the connection of one caller. On one that a proxy shares they would end everybody's streams: there
 * each caller has its rate of requests, cancelled or not, and its part of the memory for answers.
 */
// Types of Node do not know all of them yet.
const sharedLimits: http2.ServerOptions & { readonly maxSessionRejectedStreams: number } = {
  streamResetBurst: 100_000,
  streamResetRate: 10_000,
  maxSessionRejectedStreams: 100_000,
  maxSessionMemory: 256,
}

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
  const settings = { maxConcurrentStreams: concurrentStreams, initialWindowSize: windowBytes }
  const createHttp2 = (options: http2.ServerOptions): http2.Http2Server => {
    const server = http2.createServer({ settings, ...options }, (request, response) => {
      limitBody(request.stream, requestTimeoutMs)
      // What was refused unread would count for the connection's memory until it ends.
      request.stream.prependOnceListener('finish', () => request.stream.resume())
      handle(request, response)
    })
    // A session that times out is destroyed, as nothing listens for it.
    server.setTimeout(idleTimeoutMs)
    server.on('session', (session) => {
      sessions.add(session)
      session.once('close', () => sessions.delete(session))
      session.once('connect', () => session.setLocalWindowSize(windowBytes))
      session.on('stream', (stream) => {
        streams.add(stream)
        stream.once('close', () => streams.delete(stream))
      })
      endWhenUnused(session, idleTimeoutMs)
    })
    // A peer that breaks its session harms only itself; the session is gone already.
    server.on('sessionError', () => {})
    return server
  }
  const own = createHttp2({})
  const shared = createHttp2(sharedLimits)

  // Connections are handed over; this starts the watch over slow requests.
  http1.emit('listening')

  return {
    take(protocol, socket, isShared) {
      const ofHttp2 = isShared ? shared : own
      const server = protocol === 'http2' ? ofHttp2 : http1
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
      own.close()
      shared.close()
    },
  }
}

/** Limits the body of an HTTP/2 request as Node's HTTP/1.1 server does. */
function limitBody(stream: http2.ServerHttp2Stream, limitMs: number): void {
  const timer = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), limitMs)
  stream.once('end', () => clearTimeout(timer))
  stream.once('close', () => clearTimeout(timer))
}

/** Ends a session without requests, whatever pings and settings it gets. */
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
