/**
 * Bytes for a bare connection: HTTP/1.1 and HTTP/2 that no client library would send. All choices
 * come from the seed.
 */
import { type Call, honestCall, pathOf } from './calls.ts'
import { randomBytes } from './mutations.ts'
import type { Random, Sample } from './samples.ts'

export interface RawRequest {
  readonly what: string
  readonly bytes: Uint8Array
  /** What it was made from; it may arrive whole. */
  readonly call: Call
  /** How the client leaves: politely, by closing its half first, or with a reset. */
  readonly leaves: 'half' | 'reset'
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** An HTTP/2 frame with any length, type and flags (RFC 9113 section 4.1). */
function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array,
  length = payload.length,
): Uint8Array {
  const bytes = Buffer.alloc(9 + payload.length)
  bytes.writeUIntBE(length, 0, 3)
  bytes.writeUInt8(type, 3)
  bytes.writeUInt8(flags, 4)
  bytes.writeUInt32BE(stream, 5)
  bytes.set(payload, 9)
  return bytes
}

const settings = http2Frame(4, 0, 0, new Uint8Array())
const times = (count: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat(Array<Uint8Array>(count).fill(bytes))

type Make = (random: Random, head: readonly string[], body: Uint8Array) => Uint8Array

const request = (head: readonly string[], body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body])

const withLines =
  (...lines: string[]): Make =>
  (_, head, body) =>
    request([...head.filter((line) => !/^content-length/i.test(line)), ...lines], body)

const firstLine =
  (line: string): Make =>
  (_, head, body) =>
    request([line, ...head.slice(1)], body)

const afterPreface =
  (make: (random: Random) => Uint8Array): Make =>
  (random) =>
    Buffer.concat([preface, settings, make(random)])

const makers: { readonly [what: string]: Make } = {
  'a bit of the request': (random, head, body) => {
    const bytes = request(head, body)
    const at = random.below(bytes.length - body.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    return bytes
  },
  'a request that is cut': (random, head, body) => {
    const bytes = request(head, body)
    return bytes.subarray(0, random.below(bytes.length))
  },
  'garbage in the headers': (random, head, body) => {
    const line = Buffer.from(randomBytes(random, 40)).toString('latin1')
    return request([...head, `x: ${line}`], body)
  },
  'garbage from the start': (random) => randomBytes(random, 1 + random.below(3_000)),
  'length and chunks': withLines('Content-Length: 5', 'Transfer-Encoding: chunked'),
  'two lengths': withLines('Content-Length: 5', 'Content-Length: 6'),
  'a negative length': withLines('Content-Length: -5'),
  'a length that is not a number': withLines('Content-Length: 0x10'),
  'a great length': withLines('Content-Length: 99999999999999999999999'),
  'a length of all that is read': withLines('Content-Length: 36700160'),
  'chunks that are none': (_, head, body) =>
    Buffer.concat([withLines('Transfer-Encoding: chunked')(fixed, head, new Uint8Array()), body]),
  'a chunk length that lies': (_, head, body) =>
    Buffer.concat([
      withLines('Transfer-Encoding: chunked')(fixed, head, Buffer.from('7fffffff\r\n')),
      body,
    ]),
  'a great chunk extension': (_, head) =>
    withLines('Transfer-Encoding: chunked')(fixed, head, Buffer.from(`1;${'x'.repeat(70_000)}`)),
  'great trailers': (_, head) =>
    withLines('Transfer-Encoding: chunked')(
      fixed,
      head,
      Buffer.from(`0\r\n${'x: y\r\n'.repeat(20_000)}\r\n`),
    ),
  'an unknown transfer encoding': withLines('Transfer-Encoding: gzip, chunked'),
  'folded headers': withLines('X: a', ' b', '\tc'),
  'a header without a colon': withLines('nothing'),
  'a header without a name': withLines(': x'),
  'a space before the colon': withLines('Content-Length : 5'),
  'bare line feeds': (_, head, body) =>
    Buffer.concat([Buffer.from(`${head.join('\n')}\n\n`), body]),
  'endless headers': (_, head) =>
    Buffer.from(`${head.join('\r\n')}\r\n${'a: b\r\n'.repeat(50_000)}`),
  'an endless line': () => Buffer.from(`POST /${'a'.repeat(300_000)}`),
  'two hosts': withLines('Host: a', 'Host: b'),
  'an impossible host': withLines('Host: [::1'),
  'an expectation': withLines('Expect: 100-continue', 'Content-Length: 5'),
  'an impossible expectation': withLines('Expect: miracles', 'Content-Length: 5'),
  'an upgrade to HTTP/2': withLines('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c'),
  'an upgrade to WebSocket': withLines(
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: AAAA',
  ),
  'another version': firstLine(`POST ${pathOf('GetInfo')} HTTP/9.9`),
  'HTTP/1.0': firstLine(`POST ${pathOf('GetInfo')} HTTP/1.0`),
  'HTTP/0.9': () => Buffer.from('GET /\r\n'),
  'no version': firstLine(`POST ${pathOf('GetInfo')}`),
  'a method nobody has': firstLine(`PUBLISH ${pathOf('Publish')} HTTP/1.1`),
  CONNECT: firstLine('CONNECT example.org:443 HTTP/1.1'),
  TRACE: firstLine(`TRACE ${pathOf('Publish')} HTTP/1.1`),
  'an asterisk': firstLine('OPTIONS * HTTP/1.1'),
  'an absolute address': firstLine('POST http://user:pass@other.example:1/x HTTP/1.1'),
  'an impossible address': firstLine('POST http://[ HTTP/1.1'),
  'many requests at once': (_, head, body) => times(50, request(head, body)),
  'half a preface': (random) => preface.subarray(0, 1 + random.below(preface.length - 1)),
  'a preface that changes its mind': (random, head, body) =>
    Buffer.concat([preface.subarray(0, 1 + random.below(17)), request(head, body)]),
  'HTTP/2 garbage': afterPreface((random) => randomBytes(random, 200)),
  'frames of any kind': afterPreface((random) =>
    Buffer.concat(
      Array.from({ length: 10 }, () =>
        http2Frame(
          random.below(12),
          random.below(256),
          random.pick([0, 1, 2, 3, 0x7fff_ffff, 0xffff_ffff]),
          randomBytes(random, random.below(30)),
        ),
      ),
    ),
  ),
  'a frame length of HTTP/2 that lies': afterPreface((random) =>
    http2Frame(random.below(10), 0, 1, new Uint8Array(20), random.pick([0xffffff, 16_385, 1])),
  ),
  'headers that never end': afterPreface(() =>
    Buffer.concat([
      http2Frame(1, 0, 1, new Uint8Array(16_000).fill(0x40)),
      times(100, http2Frame(9, 0, 1, new Uint8Array(16_000).fill(0x40))),
    ]),
  ),
  'headers that refer to nothing': afterPreface(() =>
    http2Frame(1, 5, 1, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f)),
  ),
  'streams opened and reset': afterPreface(() =>
    Buffer.concat(
      Array.from({ length: 2_000 }, (_, n) =>
        Buffer.concat([
          // :method POST, :scheme http, :path /, from the static table (RFC 7541 appendix A).
          http2Frame(1, 4, 2 * n + 1, Uint8Array.of(0x83, 0x86, 0x84)),
          http2Frame(3, 0, 2 * n + 1, Uint8Array.of(0, 0, 0, 8)),
        ]),
      ),
    ),
  ),
  'a flood of settings': afterPreface(() => times(5_000, settings)),
  'a flood of pings': afterPreface(() => times(5_000, http2Frame(6, 0, 0, new Uint8Array(8)))),
  'a flood of empty frames': afterPreface(() =>
    times(20_000, http2Frame(0, 0, 1, new Uint8Array())),
  ),
  'a window that overflows': afterPreface(() =>
    times(3, http2Frame(8, 0, 0, Uint8Array.of(0x7f, 0xff, 0xff, 0xff))),
  ),
  'a window of nothing': afterPreface(() =>
    http2Frame(4, 0, 0, Uint8Array.of(0, 4, 0xff, 0xff, 0xff, 0xff)),
  ),
  'a hello of TLS': () => Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0),
}

// Makers that need no choice take whichever is there.
const fixed: Random = {
  below: () => 0,
  chance: () => false,
  pick: (items) => {
    const [first] = items
    if (first === undefined) throw new Error('nothing to pick from')
    return first
  },
}

/** Bytes that go out on a connection of their own. */
export function rawRequest(sample: Sample, random: Random): RawRequest {
  const what = random.pick(Object.keys(makers))
  const call = honestCall(sample, random)
  const { headers, body, path } = call
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${body.length}`,
  ]
  const bytes = makers[what]?.(random, head, body) ?? new Uint8Array()
  return { what, bytes, call, leaves: random.chance(0.8) ? 'half' : 'reset' }
}
