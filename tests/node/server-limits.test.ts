/** What strangers may hold of a port: connections, time and memory, each bounded. */
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import { Code, ConnectError, type ConnectRouter, createClient } from '@connectrpc/connect'
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { afterEach, describe, expect, test } from 'vitest'
import { callerKey } from '../../node/src/server/caller.ts'
import { type Listener, type ListenOptions, listen } from '../../node/src/server/listen.ts'
import { isTrusted, readRange } from '../../node/src/server/proxies.ts'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { readRefusal, refusalOf } from './support.ts'

let listener: Listener | undefined
const open: { destroy(): void }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) one.destroy()
  await listener?.close(0)
  listener = undefined
})

function rangeOf(text: string) {
  const range = readRange(text)
  if (range === undefined) throw new Error(`${text} is no range`)
  return range
}

interface Asked {
  readonly caller: string
  readonly bytes: number
}

/** RPCs that keep what they were asked, and answer when a test lets them. */
async function start(options: Partial<ListenOptions> = {}) {
  const asked: Asked[] = []
  const held: (() => void)[] = []
  let holds = false
  const routes = (router: ConnectRouter): void => {
    router.service(NodeService, {
      getInfo: (_, { values }) => {
        asked.push({ caller: values.get(callerKey), bytes: 0 })
        return {}
      },
      async publish({ envelopes }, { values }) {
        const bytes = envelopes.reduce((sum, { message }) => sum + message.length, 0)
        asked.push({ caller: values.get(callerKey), bytes })
        if (holds) await new Promise<void>((resolve) => held.push(resolve))
        return {}
      },
      async *subscribe(_, { signal }) {
        yield { event: { case: 'started', value: {} } }
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      },
    })
  }
  const started = await listen({ host: '127.0.0.1', port: 0, routes, ...options })
  listener = started
  return {
    listener: started,
    url: started.url,
    port: Number(new URL(started.url).port),
    asked,
    /** From now on a publish is answered only by `release`. */
    hold() {
      holds = true
    },
    release() {
      holds = false
      for (const answer of held.splice(0)) answer()
    },
    held: () => held.length,
  }
}

/** A raw connection. */
async function connectTo(port: number): Promise<Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  open.push(socket)
  await once(socket, 'connect')
  return socket
}

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

async function http2Session(url: string) {
  const session = http2.connect(url)
  session.on('error', () => {})
  open.push(session)
  await once(session, 'connect')
  return session
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

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
  open.push({ destroy: () => relay.close() })
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

describe('bodies in memory', () => {
  const mebibyte = 1024 * 1024
  const limits = { bodyBytes: 4 * mebibyte }
  const envelopes = [{ topic: 'x', message: new Uint8Array(3 * mebibyte) }]
  const transports = {
    gRPC: createGrpcTransport,
    'gRPC-web': (options: { baseUrl: string }) =>
      createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
    Connect: (options: { baseUrl: string }) =>
      createConnectTransport({ ...options, httpVersion: '1.1' }),
  }

  test.each(Object.entries(transports))(
    'what does not fit is refused by %s, to be tried again, and fits later',
    async (_, transport) => {
      const node = await start({ limits })
      const client = createClient(NodeService, transport({ baseUrl: node.url }))
      node.hold()
      const first = client.publish({ envelopes })
      await until(() => node.held() === 1)
      expect(node.listener.bodyBytes).toBeGreaterThanOrEqual(3 * mebibyte)
      expect(await refusalOf(client.publish({ envelopes }))).toEqual({
        status: Code.ResourceExhausted,
        code: 'rate_limited',
        envelopeIndex: 0,
        retryAfterMs: 1_000n,
      })
      node.release()
      await first
      await until(() => node.listener.bodyBytes === 0)
      await client.publish({ envelopes })
    },
  )

  test('one caller has a quarter, so that others have room', async () => {
    const node = await start({ limits, exempt: () => false })
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: node.url }))
    expect(await refusalOf(client.publish({ envelopes }))).toMatchObject({ code: 'rate_limited' })
    const small = [{ topic: 'x', message: new Uint8Array(mebibyte / 2) }]
    await client.publish({ envelopes: small })
  })

  test('a subscription holds none of it, however long it stays', async () => {
    const node = await start({ limits })
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: node.url }))
    const abort = new AbortController()
    const topics = Array.from({ length: 1_000 }, (_, n) => ({ topic: `message-${n}` }))
    const stream = client.subscribe({ topics }, { signal: abort.signal })[Symbol.asyncIterator]()
    await stream.next()
    expect(node.listener.bodyBytes).toBe(0)
    abort.abort()
    await stream.next().catch((error: unknown) => {
      expect(readRefusal(error).status).toBe(Code.Canceled)
      expect(ConnectError.from(error).code).toBe(Code.Canceled)
    })
  })
})

describe('callers', () => {
  const callerOf = async (
    options: Partial<ListenOptions>,
    headers: Record<string, string>,
    httpVersion: '1.1' | '2' = '1.1',
  ) => {
    const { url, asked, listener } = await start(options)
    const client = createClient(NodeService, createConnectTransport({ baseUrl: url, httpVersion }))
    await client.getInfo({}, { headers })
    await listener.close(0)
    return asked[0]?.caller
  }

  test.each<[number, string, string]>([
    [0, '192.0.2.1', '127.0.0.1'],
    [1, '192.0.2.1', '192.0.2.1'],
    [1, '198.51.100.7, 192.0.2.1', '192.0.2.1'],
    [2, '203.0.113.9, 198.51.100.7, 192.0.2.1', '198.51.100.7'],
    // Past one of the two, or from this machine: not what the caller wrote.
    [2, '192.0.2.1', '127.0.0.1'],
    [1, '127.0.0.1', '127.0.0.1'],
    [1, '198.51.100.7, 192.0.2.1:4711', '192.0.2.1'],
    [1, '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    [1, '[2001:db8:1:2::1]:443', '2001:db8:1:2::/64'],
    [1, '::ffff:192.0.2.1', '192.0.2.1'],
    [1, 'nonsense', '127.0.0.1'],
    [1, '0x7f.1', '127.0.0.1'],
    [1, '', '127.0.0.1'],
  ])('behind %i proxies, %s is %s', async (hops, forwardedFor, caller) => {
    expect(await callerOf({ proxies: { hops } }, { 'x-forwarded-for': forwardedFor })).toBe(caller)
  })

  test('the header is read over HTTP/2 too', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.7, 192.0.2.1' }
    expect(await callerOf({ proxies: { hops: 1 } }, headers, '2')).toBe('192.0.2.1')
  })

  test('without a proxy this machine is local, and passed on by one it is not', async () => {
    expect(await callerOf({}, {})).toBe('local')
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      for (const hops of [0, 1]) {
        const caller = await callerOf({ proxies: { hops } }, { [name]: '127.0.0.1' })
        expect(caller).toBe('127.0.0.1')
      }
    }
  })

  test('only from where the proxy connects does its header count', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.7' }
    const named = (...ranges: string[]) =>
      callerOf({ proxies: { hops: 1, from: ranges.map(rangeOf) } }, headers)
    expect(await named('192.0.2.0/24')).toBe('127.0.0.1')
    expect(await named('192.0.2.0/24', '127.0.0.0/8')).toBe('198.51.100.7')
    const trusted = (address: string) => isTrusted(address, { hops: 1 })
    expect(['10.1.2.3', '192.168.0.1', 'fd00::1', '::1', '::ffff:10.0.0.1'].every(trusted)).toBe(
      true,
    )
    expect(['192.0.2.1', '2001:db8::1', '8.8.8.8', 'nonsense'].some(trusted)).toBe(false)
  })

  test('a proxy that is not trusted is reported once', async () => {
    let reported = 0
    const { url } = await start({
      onUntrustedProxy: () => {
        reported += 1
      },
    })
    const transport = createConnectTransport({ baseUrl: url, httpVersion: '1.1' })
    const client = createClient(NodeService, transport)
    await client.getInfo({})
    expect(reported).toBe(0)
    for (let n = 0; n < 3; n += 1) {
      await client.getInfo({}, { headers: { 'x-forwarded-for': '192.0.2.1' } })
    }
    expect(reported).toBe(1)
  })
})

test('requests that are refused unread do not use up their connection', async () => {
  const { url } = await start()
  const session = await http2Session(url)
  const headers = {
    ':method': 'POST',
    ':path': '/padlock.v1.NodeService/Publish',
    'content-type': 'text/plain',
  }
  const body = Buffer.alloc(100_000)
  /** How it was answered; a reset that is not for this request alone ends the test. */
  const post = (of: http2.OutgoingHttpHeaders, what: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request(of)
      let status = 0
      stream.once('response', (answer) => {
        status = Number(answer[':status'])
      })
      stream.once('error', reject)
      stream.once('close', () => resolve(status))
      stream.resume()
      stream.end(what)
    })
  for (let sent = 0; sent < 2_400; sent += 8) {
    const answers = Array.from({ length: 8 }, () => post(headers, body))
    for (const answer of await Promise.allSettled(answers)) {
      if (answer.status === 'rejected') {
        expect(String(answer.reason)).not.toContain('ENHANCE_YOUR_CALM')
      }
    }
  }
  const info = { ...headers, ':path': '/padlock.v1.NodeService/GetInfo' }
  expect(await post({ ...info, 'content-type': 'application/json' }, Buffer.from('{}'))).toBe(200)
})
