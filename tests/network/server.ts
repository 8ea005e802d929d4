/** HTTP servers on loopback that answer as no node should, and the network that talks to them. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { toBinary } from '@bufbuild/protobuf'
import { encodeEnvelope } from '@connectrpc/connect/protocol'
import { onTestFinished } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { SubscribeResponseSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { connectNode } from '../../src/network/connect.ts'
import type { Network, NodeFrame } from '../../src/network/network.ts'

/** Longer than any stall of a loaded machine; no test waits for its end. */
const patience = { callMs: 50_000, silenceMs: 50_000 }
export const impatience = { callMs: 150, silenceMs: 150 }

const listen = async (server: ReturnType<typeof createTcpServer>): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

/** A server that answers every request so, until the test ends. */
export const startHttp = async (
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> => {
  const server = createServer((request, response) => {
    request.resume()
    response.on('error', () => undefined)
    answer(request, response)
  })
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return listen(server)
}

/** A server that does this with every connection. */
export const startTcp = async (connected: (socket: Socket) => void): Promise<string> => {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    connected(socket)
  })
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return listen(server)
}

/**
 * An address where nobody listens: no service has this port, no system gives it to who asks for any,
 * and `fetch` does not refuse it by itself.
 */
export const unusedUrl = 'http://127.0.0.1:4'

export const grpcWeb = { 'content-type': 'application/grpc-web+proto' }

const frame = (event: { case: 'heartbeat'; value: { nodeNs: bigint } }): Uint8Array =>
  encodeEnvelope(
    0,
    toBinary(SubscribeResponseSchema, {
      $typeName: 'padlock.v1.SubscribeResponse',
      event: {
        case: event.case,
        value: { $typeName: 'padlock.v1.Heartbeat', nodeNs: event.value.nodeNs },
      },
    }),
  )

export const heartbeat = (nodeNs: bigint): Uint8Array =>
  frame({ case: 'heartbeat', value: { nodeNs } })

export const trailer = (text: string): Uint8Array =>
  encodeEnvelope(0x80, new TextEncoder().encode(text))

export const connect = (url: string, limits = patience): Network => connectNode(url, limits)

/** The code that a call fails with; another kind of error fails the test. */
export const codeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
    return 'no error'
  } catch (error) {
    if (error instanceof PadlockError) return error.code
    throw error
  }
}

/** Reads a stream to its end. */
export const readStream = async (
  network: Network,
  signal: AbortSignal = new AbortController().signal,
  seen: NodeFrame[] = [],
): Promise<readonly NodeFrame[]> => {
  const topics = [{ topic: 'message-x', afterSequence: 0n }]
  for await (const frame of network.subscribe(topics, new Uint8Array(), signal)) seen.push(frame)
  return seen
}
