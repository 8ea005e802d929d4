/**
 * One port for gRPC-web and Connect over HTTP/1.1 and HTTP/2, and gRPC over HTTP/2, in clear or with
 * TLS, with CORS for browsers and bounds on what strangers may hold.
 */
import net from 'node:net'
import { type ConnectRouter, cors as corsLists } from '@connectrpc/connect'
import cors from 'cors'
import { AnswerMemory } from '../limits/answer-memory.ts'
import { defaultMemoryBytes, shareMemory } from '../limits/memory.ts'
import { BodyBudget } from './body-budget.ts'
import { CallGate, callBytes } from './call-gate.ts'
import { isLocal } from './caller.ts'
import { ConnectionGate } from './connection-gate.ts'
import { connectionsByDescriptors } from './descriptors.ts'
import { createHttpServers, type HttpLimits } from './http-servers.ts'
import { bodyLimitBytes } from './inspection.ts'
import { sniffProtocol } from './protocol-sniffer.ts'
import { isTrusted, noProxies, type TrustedProxies } from './proxies.ts'
import { createRpcHandler } from './rpc-handler.ts'
import { type CertificateFiles, type CertificateNews, openTls, type TlsLayer } from './tls.ts'

export interface ServerLimits extends HttpLimits {
  /** Open connections; never more than the limit of open files leaves. */
  readonly connections: number
  /** Of one caller; a trusted proxy has as many as there are. */
  readonly connectionsOfCaller: number
  /** Bytes of request bodies in memory. */
  readonly bodyBytes: number
  /** Bytes of envelopes that were read for answers and not taken yet. */
  readonly answerBytes: number
  /** Bytes that calls under way take besides. */
  readonly callsBytes: number
}

const { bodyBytes, answerBytes, callsBytes } = shareMemory(defaultMemoryBytes)

/** For a node on the internet. */
export const defaultServerLimits: ServerLimits = {
  headersTimeoutMs: 30_000,
  requestTimeoutMs: 120_000,
  idleTimeoutMs: 75_000,
  concurrentStreams: 250,
  connections: 10_000,
  connectionsOfCaller: 200,
  bodyBytes,
  answerBytes,
  callsBytes,
}

export interface ListenOptions {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly routes: (router: ConnectRouter) => void
  /** Absent: in clear. */
  readonly tls?: CertificateFiles
  readonly onCertificate?: (news: CertificateNews) => void
  /** Proxies in front that are trusted to name callers; by default none. */
  readonly proxies?: TrustedProxies
  /** Called once if a request was passed on by a proxy that is not trusted. */
  readonly onUntrustedProxy?: () => void
  readonly limits?: Partial<ServerLimits>
  /** Callers without limits of their own; by default this machine. */
  readonly exempt?: (caller: string) => boolean
}

export interface Listener {
  /** Where clients reach it, without a slash at the end. */
  readonly url: string
  /** Maximum open connections. */
  readonly connectionLimit: number
  /** Open connections. */
  readonly connections: number
  /** Connections refused as too many. */
  readonly connectionsRefused: number
  /** Calls under way. */
  readonly calls: number
  /** How many there may be. */
  readonly callLimit: number
  /** Bytes of request bodies in memory. */
  readonly bodyBytes: number
  /** Bytes of envelopes on their way to readers. */
  readonly answerBytes: number
  /** When the certificate in use expires; absent in clear. */
  readonly certificateUntil: Date | undefined
  /** Reads the certificate again. */
  reloadCertificate(): void
  /**
   * Accepts no more connections, waits at most this long for running requests, then cuts the rest.
   */
  close(graceMs: number): Promise<void>
}

/**
 * @throws CertificateProblem, or Error with a `code` as of `net.Server.listen`, such as EADDRINUSE.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const limits = { ...defaultServerLimits, ...options.limits }
  const { proxies = noProxies, exempt = isLocal } = options
  const connectionLimit = Math.min(limits.connections, connectionsByDescriptors())
  const gate = new ConnectionGate({
    total: connectionLimit,
    perCaller: limits.connectionsOfCaller,
    exempt,
    isProxy: (address) => isTrusted(address, proxies),
  })
  const calls = new CallGate(Math.floor(limits.callsBytes / callBytes), exempt)
  const bodies = new BodyBudget(limits.bodyBytes, exempt, bodyLimitBytes)
  const answers = new AnswerMemory({ limitBytes: limits.answerBytes, exempt })
  const answer = createRpcHandler({ ...options, ...limits, proxies, calls, bodies, answers })
  const allowBrowsers = cors({
    // The node does not rely on where a request comes from, so any page may talk to it.
    origin: '*',
    methods: [...corsLists.allowedMethods],
    allowedHeaders: [...corsLists.allowedHeaders],
    exposedHeaders: [...corsLists.exposedHeaders],
    maxAge: 7_200,
  })
  const servers = createHttpServers(limits, (request, response) => {
    allowBrowsers(request, response, () => answer(request, response))
  })
  const take = (protocol: 'http1' | 'http2', socket: net.Socket): void =>
    servers.take(protocol, socket, isTrusted(socket.remoteAddress, proxies))
  const takeBySniffing = (socket: net.Socket): void =>
    sniffProtocol(socket, limits.headersTimeoutMs, (protocol) => take(protocol, socket))
  const tls = options.tls && openTlsLayer(options.tls)

  const server = net.createServer({ noDelay: true }, (socket) => {
    // Resets are routine, and an error without a listener would end the process.
    socket.on('error', () => {})
    if (!gate.admit(socket)) return
    if (tls === undefined) takeBySniffing(socket)
    else tls.take(socket)
  })
  try {
    await bind(server, options.port, options.host)
  } catch (error) {
    tls?.close()
    servers.close()
    throw error
  }

  return {
    url: urlOf(server.address(), options.host, tls === undefined ? 'http' : 'https'),
    connectionLimit,
    get connections() {
      return gate.size
    },
    get connectionsRefused() {
      return gate.refused
    },
    get calls() {
      return calls.size
    },
    callLimit: calls.limit,
    get bodyBytes() {
      return bodies.used
    },
    get answerBytes() {
      return answers.used
    },
    get certificateUntil() {
      return tls?.validUntil
    },
    reloadCertificate: () => tls?.reload(),
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      servers.drain()
      const timer = setTimeout(() => {
        servers.cut()
        // A moment later, when the cancellation is sent.
        setImmediate(() => gate.destroyAll())
        // A connection that was being handed over just then is cut a moment later.
        cutting = setInterval(() => gate.destroyAll(), 500)
      }, graceMs)
      let cutting: NodeJS.Timeout | undefined
      await closed
      clearTimeout(timer)
      clearInterval(cutting)
      tls?.close()
      servers.close()
    },
  }

  function openTlsLayer(files: CertificateFiles): TlsLayer {
    const { onCertificate } = options
    return openTls(
      {
        ...files,
        handshakeTimeoutMs: limits.headersTimeoutMs,
        ...(onCertificate && { onNews: onCertificate }),
      },
      (protocol, socket) => {
        if (protocol === undefined) takeBySniffing(socket)
        else take(protocol, socket)
      },
    )
  }
}

function bind(server: net.Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function urlOf(
  address: net.AddressInfo | string | null,
  host: string,
  scheme: 'http' | 'https',
): string {
  const port = address === null || typeof address === 'string' ? '' : `:${address.port}`
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host
  return `${scheme}://${net.isIPv6(name) ? `[${name}]` : name}${port}`
}
