/** What strangers may hold of a port: connections and time, each bounded. */
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import { type ConnectRouter, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { describe, expect, onTestFinished, test } from 'vitest'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { connectTo, http2Session, start, until } from './held-node.ts'

/** Everything that comes until the other side ends it. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  // A reset is an end too, and `once` would reject it.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  return text
}

/**
 * Writes on and on until something comes. What has come is read before each write, which would fail
 * after a reset and take the answer with it.
 */
function trickle(socket: Socket, next: () => string | Uint8Array, everyMs: number): NodeJS.Timeout {
  return setInterval(() => {
    setImmediate(() => {
      if (!socket.destroyed && socket.bytesRead === 0) socket.write(next())
    })
  }, everyMs)
}

const request = (headers: string) =>
  `POST /padlock.v1.NodeService/GetInfo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}`

describe('connections', () => {
  test('one more than may be open is closed at once, and one that closes makes room', async () => {
    const { listener, port, url } = await start({ limits: { connections: 3 } })
    const three = [await connectTo(port), await connectTo(port), await connectTo(port)]
    await until(() => listener.connections === 3)
    await untilClosed(await connectTo(port))
    expect(listener.connectionsRefused).toBe(1)
    three[0]?.destroy()
    await until(() => listener.connections === 2)
    const client = createClient(
      NodeService,
      createConnectTransport({ baseUrl: url, httpVersion: '1.1' }),
    )
    await client.getInfo({})
  })

  test('of one caller only so many are taken, unless it is exempt', async () => {
    const limits = { connectionsOfCaller: 2 }
    const strict = await start({ limits, exempt: () => false })
    await connectTo(strict.port)
    await connectTo(strict.port)
    await untilClosed(await connectTo(strict.port))
    expect(strict.listener.connectionsRefused).toBe(1)
    await strict.listener.close(0)

    const lenient = await start({ limits })
    for (let n = 0; n < 5; n += 1) await connectTo(lenient.port)
    await until(() => lenient.listener.connections === 5)
    expect(lenient.listener.connectionsRefused).toBe(0)
  })

  test('never more are promised than the limit of open files leaves', async () => {
    const { listener } = await start({ limits: { connections: 1_000_000_000 } })
    expect(listener.connectionLimit).toBeLessThan(1_000_000_000)
  })
})

describe('time', () => {
  const limits = { headersTimeoutMs: 300, requestTimeoutMs: 600, idleTimeoutMs: 900 }

  test.each([
    ['says nothing', ''],
    ['stops in the preface of HTTP/2', 'PRI * HT'],
  ])('a connection that %s is closed', async (_, text) => {
    const { port } = await start({ limits })
    const socket = await connectTo(port)
    socket.write(text)
    await untilClosed(socket)
  })

  test('a connection that trickles its first bytes is closed all the same', async () => {
    const { port } = await start({ limits })
    const socket = await connectTo(port)
    const bytes = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM')
    let at = 0
    const timer = trickle(socket, () => bytes.subarray(at, ++at), 60)
    await untilClosed(socket)
    clearInterval(timer)
    expect(at).toBeLessThan(bytes.length)
  })

  test.each([
    ['headers', 'POST / HTTP/1.1\r\nHost: a\r\n', 'X-More: 1\r\n'],
    ['a body', request('Content-Length: 100000\r\n\r\n{'), ' '],
  ])('%s that come too slowly are answered with 408', async (_, first, more) => {
    const { port } = await start({ limits: { ...limits, idleTimeoutMs: 60_000 } })
    const socket = await connectTo(port)
    socket.write(first)
    const timer = trickle(socket, () => more, 50)
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 408 /)
    clearInterval(timer)
  })

  test('a connection that is done and asks nothing more is closed', async () => {
    // Whatever a busy machine takes, what it asks is answered first.
    const { port } = await start({ limits: { idleTimeoutMs: 2_000 } })
    const socket = await connectTo(port)
    socket.write(request('Content-Length: 2\r\n\r\n{}'))
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('a body that comes too slowly over HTTP/2 ends its stream, not the connection', async () => {
    const { url } = await start({ limits: { ...limits, idleTimeoutMs: 60_000 } })
    const session = await http2Session(url)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/padlock.v1.NodeService/GetInfo',
      'content-type': 'application/grpc',
    })
    const timer = setInterval(() => stream.write(Uint8Array.of(0)), 50)
    stream.on('error', () => {})
    await once(stream, 'close')
    clearInterval(timer)
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL)
    expect(session.closed).toBe(false)
  })

  test('an HTTP/2 connection that only pings is closed', async () => {
    const { url } = await start({ limits })
    const session = await http2Session(url)
    const timer = setInterval(() => session.destroyed || session.ping(() => {}), 50)
    await once(session, 'close')
    clearInterval(timer)
  })

  test('a stream whose reader takes nothing is cut, others on its connection go on', async () => {
    const chunk = Buffer.alloc(64 * 1024)
    const cut = Promise.withResolvers<void>()
    const routes = (router: ConnectRouter): void => {
      router.service(NodeService, {
        getInfo: () => ({}),
        async *subscribe(_, { signal }) {
          signal.addEventListener('abort', () => cut.resolve(), { once: true })
          while (!signal.aborted) {
            yield { event: { case: 'started', value: { nodeId: chunk } } }
          }
        },
      })
    }
    const { url } = await start({ limits, routes })
    const session = await http2Session(url)
    const ask = (rpc: string) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/padlock.v1.NodeService/${rpc}`,
        'content-type': 'application/grpc',
      })
      stream.on('error', () => {})
      stream.end(Buffer.alloc(5))
      return stream
    }
    // Without a reader its window fills, and stays full; that of the connection has room.
    session.setLocalWindowSize(16 * 1024 * 1024)
    ask('Subscribe')
    let answered = 0
    const timer = setInterval(() => {
      const stream = ask('GetInfo')
      stream.resume()
      stream.once('response', () => {
        answered += 1
      })
    }, 100)
    await cut.promise
    const before = answered
    await until(() => answered > before)
    clearInterval(timer)
    expect(session.destroyed).toBe(false)
  })
})

/** The codes of the RST_STREAM frames among what a server of HTTP/2 sent (RFC 9113, section 4.1). */
function resetsIn(sent: Buffer): number[] {
  const codes: number[] = []
  for (let at = 0; at + 9 <= sent.length; at += 9 + sent.readUIntBE(at, 3)) {
    if (sent[at + 3] === 3) codes.push(sent.readUInt32BE(at + 9))
  }
  return codes
}

test('what is under way when the grace is over is cancelled, and not by a mere end', async () => {
  const node = await start()
  const sent: Buffer[] = []
  const relay = net.createServer((client) => {
    const upstream = net.connect(node.port, '127.0.0.1')
    for (const socket of [client, upstream]) socket.on('error', () => {})
    upstream.on('data', (chunk) => sent.push(chunk))
    client.pipe(upstream).pipe(client)
  })
  await once(relay.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void relay.close())
  const address = relay.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  node.hold()
  const session = await http2Session(`http://127.0.0.1:${address.port}`)
  const stream = session.request({
    ':method': 'POST',
    ':path': '/padlock.v1.NodeService/Publish',
    'content-type': 'application/grpc',
  })
  stream.on('error', () => {})
  stream.end(Buffer.alloc(5))
  await until(() => node.held() === 1)
  const closing = node.listener.close(0)
  await once(stream, 'close')
  await closing
  // At a mere end a client decides by itself what became of the stream, and may find nothing wrong.
  expect(resetsIn(Buffer.concat(sent))).toEqual([http2.constants.NGHTTP2_CANCEL])
  node.release()
})
