/** An RPC server that gives any answer a test wants, and keeps what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

export interface Asked {
  readonly method: string
  readonly params: readonly unknown[]
}

export interface RpcServer {
  readonly url: string
  readonly asked: Asked[]
  close(): Promise<void>
}

type Answer = (asked: Asked, response: ServerResponse) => unknown

/** `answer` returns a result, or ends the response itself (or never) and returns undefined. */
export async function startRpcServer(answer: Answer): Promise<RpcServer> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    readJson(request).then(
      ({ id, method, params = [] }) => {
        asked.push({ method, params })
        const result = answer({ method, params }, response)
        if (result !== undefined) sendJson(response, { jsonrpc: '2.0', id, result })
      },
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): undefined {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

interface RequestBody {
  readonly id: number
  readonly method: string
  readonly params?: readonly unknown[]
}

async function readJson(request: IncomingMessage): Promise<RequestBody> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return JSON.parse(text)
}
