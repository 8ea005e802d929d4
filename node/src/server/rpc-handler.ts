/**
 * Brings HTTP requests of both versions to the RPCs. `connectNodeAdapter` does the same, but prints
 * every connection that breaks in the middle, and lets an impossible Host header end the process.
 */
import type http from 'node:http'
import type http2 from 'node:http2'
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect'
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node'

export type Request = http.IncomingMessage | http2.Http2ServerRequest
export type Response = http.ServerResponse | http2.Http2ServerResponse

/** Answers every request; a path that is no RPC with 404. */
export function createRpcHandler(
  routes: (router: ConnectRouter) => void,
): (request: Request, response: Response) => void {
  const router = createConnectRouter({ acceptCompression: [compressionGzip] })
  routes(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))

  return (request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1)
    const handler = handlers.get(path)
    if (handler === undefined) {
      answerPlainly(
        response,
        404,
        'This is a Padlock node; it answers gRPC, gRPC-web and Connect.\n',
      )
      return
    }
    try {
      const call = handler(universalRequestFromNodeRequest(request, response, undefined, undefined))
      // Refusals are answers. What fails here is the connection, which its peer broke.
      call
        .then((answer) => universalResponseToNodeResponse(answer, response))
        .catch(() => response.destroy())
    } catch {
      // Without a Host header, or with one that makes no URL, there is nothing to call.
      answerPlainly(response, 400, 'The request names no host.\n')
    }
  }
}

function answerPlainly(response: Response, status: number, text: string): void {
  response.statusCode = status
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(text)
}
