/**
 * The operator's port: whether the process lives, whether it should be sent requests, and its
 * metrics. It is separate from the port that clients use, so that nobody outside has to reach it.
 */
import http from 'node:http'
import { isIPv6 } from 'node:net'

/** A registry of prom-client, as far as it is used here. */
export interface MetricsSource {
  readonly contentType: string
  metrics(): Promise<string>
}

export interface AdminOptions {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly registry: MetricsSource
  /** Whether the node should get requests now. */
  readonly isReady: () => Promise<boolean>
}

export interface AdminServer {
  /** Without a slash at the end. */
  readonly url: string
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

const plain = (status: number, body: string): Answer => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  body: `${body}\n`,
})

/** GET /healthz, /readyz and /metrics. @throws Error with a `code` as of `net.Server.listen`. */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const { host, port, registry, isReady } = options

  async function answer(method: string, path: string): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return plain(404, 'not found')
    switch (path) {
      case '/healthz':
        return plain(200, 'alive')
      case '/readyz':
        return (await isReady()) ? plain(200, 'ready') : plain(503, 'not ready')
      case '/metrics':
        return { status: 200, contentType: registry.contentType, body: await registry.metrics() }
      default:
        return plain(404, 'not found')
    }
  }

  const server = http.createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1)
    answer(request.method ?? '', path)
      .catch(() => plain(500, 'the metrics could not be collected'))
      .then(({ status, contentType, body }) => {
        response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' })
        response.end(body)
      })
      .catch(() => response.destroy())
  })
  server.headersTimeout = 5_000
  server.requestTimeout = 5_000
  server.maxConnections = 64
  server.on('clientError', (_, socket) => socket.destroy())

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address()
  const bound = address === null || typeof address === 'string' ? port : address.port
  return {
    url: `http://${isIPv6(host) ? `[${host}]` : host}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
