/**
 * Whatever answers may not be a node, or be a broken or hostile one: always a code, never a hang.
 */

import type { ServerResponse } from 'node:http'
import { encodeEnvelope } from '@connectrpc/connect/protocol'
import { expect, test, vi } from 'vitest'
import { codes, isPadlockErrorCode } from '../../src/errors.ts'
import { runSeed, seededRandom } from '../support/random.ts'
import { until } from '../support/until.ts'
import {
  codeOf,
  connect,
  grpcWeb,
  heartbeat,
  impatience,
  readStream,
  startHttp,
  startTcp,
  trailer,
  unusedUrl,
} from './server.ts'

const ok = trailer('grpc-status: 0\r\n')

const answerWith =
  (status: number, headers: Record<string, string>, ...chunks: (Uint8Array | string)[]) =>
  (_: unknown, response: ServerResponse) => {
    response.writeHead(status, headers)
    for (const chunk of chunks) response.write(chunk)
    response.end()
  }

const page = '<!doctype html><title>Welcome to the network of this café</title>'

/** Bytes that say they are a frame of 4 GiB less one; a decoder that believes them takes as much. */
const hugeFrame = Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3)

const answers: readonly {
  readonly name: string
  readonly answer: ReturnType<typeof answerWith>
  readonly code: string
  readonly ofStream?: string
}[] = [
  {
    name: 'a web page',
    answer: answerWith(200, { 'content-type': 'text/html' }, page),
    code: 'bad_response',
  },
  { name: 'nothing, and no type', answer: answerWith(200, {}), code: 'bad_response' },
  {
    name: 'JSON',
    answer: answerWith(200, { 'content-type': 'application/json' }, '{}'),
    code: 'bad_response',
  },
  {
    name: 'gRPC-web in base64',
    answer: answerWith(200, { 'content-type': 'application/grpc-web-text' }, 'AAAAAAA='),
    code: 'bad_response',
  },
  {
    name: 'a web page that says it is gRPC-web',
    answer: answerWith(200, grpcWeb, page),
    code: 'bad_response',
  },
  { name: 'an empty body', answer: answerWith(200, grpcWeb), code: 'bad_response' },
  {
    name: 'only a good status',
    answer: answerWith(200, grpcWeb, ok),
    code: 'incompatible_node',
    // A stream may end well without a message; that it ended is still the end of the connection.
    ofStream: 'network_unavailable',
  },
  { name: 'a huge length', answer: answerWith(200, grpcWeb, hugeFrame), code: 'bad_response' },
  {
    name: 'a header cut short',
    answer: answerWith(200, grpcWeb, Uint8Array.of(0, 0, 0)),
    code: 'network_unavailable',
  },
  {
    name: 'a frame cut short',
    answer: answerWith(200, grpcWeb, Uint8Array.of(0, 0, 0, 0, 9, 1)),
    code: 'network_unavailable',
  },
  {
    name: 'no trailer',
    answer: answerWith(200, grpcWeb, encodeEnvelope(0, new Uint8Array())),
    code: 'network_unavailable',
  },
  {
    name: 'a message that does not parse',
    answer: answerWith(200, grpcWeb, encodeEnvelope(0, Uint8Array.of(0xff, 0xff)), ok),
    code: 'bad_response',
  },
  {
    name: 'a compressed frame',
    answer: answerWith(200, grpcWeb, encodeEnvelope(1, Uint8Array.of(0xff, 0xff)), ok),
    code: 'bad_response',
  },
  {
    name: 'a trailer that is not a header',
    answer: answerWith(200, grpcWeb, trailer('\0 not a name: 1\r\n')),
    code: 'bad_response',
  },
  {
    name: 'a status that is not a number',
    answer: answerWith(200, { ...grpcWeb, 'grpc-status': 'fine' }),
    code: 'bad_response',
  },
  {
    name: 'details that are not base64',
    answer: answerWith(200, grpcWeb, trailer('grpc-status: 9\r\ngrpc-status-details-bin: !!!\r\n')),
    code: 'bad_response',
  },
  {
    name: 'status unimplemented',
    answer: answerWith(200, { ...grpcWeb, 'grpc-status': '12' }),
    code: 'incompatible_node',
  },
  {
    name: 'status unavailable',
    answer: answerWith(200, grpcWeb, trailer('grpc-status: 14\r\n')),
    code: 'network_unavailable',
  },
  { name: '400', answer: answerWith(400, {}), code: 'bad_response' },
  {
    name: '403 of a firewall',
    answer: answerWith(403, { 'content-type': 'text/html' }, page),
    code: 'bad_response',
  },
  {
    name: '404',
    answer: answerWith(404, {}, 'not found'),
    // Every node has GetInfo; another call may be one that a node of another release lacks.
    code: 'bad_response',
    ofStream: 'incompatible_node',
  },
  { name: '405 of a file server', answer: answerWith(405, {}), code: 'bad_response' },
  { name: '429 of a proxy', answer: answerWith(429, {}), code: 'rate_limited' },
  { name: '500', answer: answerWith(500, {}, 'oops'), code: 'network_unavailable' },
  { name: '502', answer: answerWith(502, {}), code: 'network_unavailable' },
  { name: '503 of a proxy', answer: answerWith(503, {}), code: 'unavailable' },
  { name: '504', answer: answerWith(504, {}), code: 'network_unavailable' },
  {
    name: 'a redirect',
    answer: answerWith(302, { location: '/elsewhere' }),
    code: 'network_unavailable',
  },
]

for (const { name, answer, code, ofStream = code } of answers) {
  test(`${name} is ${code}, for a call and for a stream`, async () => {
    const network = connect(await startHttp(answer))
    expect(await codeOf(network.getInfo())).toBe(code)
    expect(await codeOf(readStream(network))).toBe(ofStream)
    expect(isPadlockErrorCode(code) && codes[code].retryable).toBe(code !== 'incompatible_node')
  })
}

test('a long frame is refused when it is announced, not when it has come', async () => {
  const announce = (_: unknown, response: ServerResponse) => {
    response.writeHead(200, grpcWeb)
    // 512 MiB: a decoder would set them aside and wait.
    response.write(Uint8Array.of(0, 0x20, 0, 0, 0, 1, 2, 3))
  }
  const network = connect(await startHttp(announce))
  expect(await codeOf(network.getInfo())).toBe('bad_response')
  expect(await codeOf(readStream(network))).toBe('bad_response')
})

test('random bytes are a code, whatever they are and however they are cut', async () => {
  const random = seededRandom(runSeed())
  const bytes = (length: number) => Uint8Array.from({ length }, () => random.below(256))
  let next: Uint8Array[] = []
  const network = connect(
    await startHttp((request, response) => answerWith(200, grpcWeb, ...next)(request, response)),
  )
  for (let round = 0; round < 60; round++) {
    const body = bytes(random.below(200))
    // Half of them get past the length check.
    if (random.chance(0.5)) body.fill(0, 1, 4)
    const at = random.below(body.length + 1)
    next = [body.subarray(0, at), body.subarray(at)].filter(({ length }) => length > 0)
    const expected = ['bad_response', 'network_unavailable', 'incompatible_node']
    const what = `seed ${runSeed()}, round ${round}: ${body.toString()}`
    expect(expected, what).toContain(await codeOf(network.getInfo()))
    expect(expected, what).toContain(await codeOf(readStream(network)))
  }
})

test('nobody at the address is network_unavailable', async () => {
  const network = connect(unusedUrl)
  expect(await codeOf(network.getInfo())).toBe('network_unavailable')
  expect(await codeOf(network.publish([]))).toBe('network_unavailable')
  expect(await codeOf(network.query([]))).toBe('network_unavailable')
  expect(await codeOf(network.claimPrekeys(new Uint8Array(16), []))).toBe('network_unavailable')
  expect(await codeOf(readStream(network))).toBe('network_unavailable')
})

test('what hangs up, or does not speak HTTP, is network_unavailable', async () => {
  for (const connected of [
    (socket: { destroy(): void }) => socket.destroy(),
    (socket: { end(text: string): void }) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
  ]) {
    const network = connect(await startTcp(connected))
    expect(await codeOf(network.getInfo())).toBe('network_unavailable')
    expect(await codeOf(readStream(network))).toBe('network_unavailable')
  }
})

test('a node that accepts and never answers is network_unavailable', async () => {
  const network = connect(await startTcp(() => undefined), impatience)
  expect(await codeOf(network.getInfo())).toBe('network_unavailable')
  expect(await codeOf(readStream(network))).toBe('network_unavailable')
})

test('an answer that begins and stops in the middle is network_unavailable', async () => {
  const begin = (_: unknown, response: ServerResponse) => {
    response.writeHead(200, grpcWeb)
    response.write(heartbeat(1n).subarray(0, 7))
  }
  const network = connect(await startHttp(begin), impatience)
  expect(await codeOf(network.getInfo())).toBe('network_unavailable')
  expect(await codeOf(readStream(network))).toBe('network_unavailable')
})

test('a large request has the time that a slow uplink needs', async () => {
  const arrived: (() => void)[] = []
  const url = await startHttp((request, response) => {
    request.on('end', () => arrived.push(() => answerWith(503, {})(request, response)))
  })
  const network = connect(url, impatience)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const small = network.publish([{ topic: 't', message: new Uint8Array(10) }])
    await until(() => arrived.length === 1)
    vi.advanceTimersByTime(impatience.callMs + 1)
    expect(await codeOf(small)).toBe('network_unavailable')
    // 64 KiB at the slowest rate are two seconds: the answer comes first.
    const large = network.publish([{ topic: 't', message: new Uint8Array(65_536) }])
    await until(() => arrived.length === 2)
    vi.advanceTimersByTime(2_000)
    arrived[1]?.()
    await expect(large).rejects.toMatchObject({
      cause: { code: 14, rawMessage: 'a server failed' },
    })
  } finally {
    vi.useRealTimers()
  }
})

test('who asked what and how it ended is told with every failure that no node explains', async () => {
  const failure = await connect(unusedUrl)
    .getInfo()
    .catch((error: unknown) => error)
  expect(failure).toMatchObject({
    code: 'network_unavailable',
    details: { tried: expect.stringMatching(`^GetInfo at ${unusedUrl}/: no answer \\(.+\\)$`) },
  })
  const hanging = await startHttp(() => undefined)
  const late = await connect(hanging, impatience)
    .query([])
    .catch((error: unknown) => error)
  expect(late).toMatchObject({
    code: 'network_unavailable',
    details: {
      tried: `Query at ${hanging}/: no answer within ${impatience.callMs / 1000} s`,
    },
  })
})
