/**
 * How a request travels: honest ones in gRPC, gRPC-web and Connect, and the damage that is done to
 * frames, compression, headers, paths and methods. All choices come from the seed.
 */
import { gzipSync } from 'node:zlib'
import { type Message, toBinary, toJsonString } from '@bufbuild/protobuf'
import type { NodeCode } from '../../src/protocol/node-codes.ts'
import { mutateJson } from './json-mutations.ts'
import { mutate, randomBytes } from './mutations.ts'
import { canary, type Random, type Rpc, requestSchemas, type Sample } from './samples.ts'

/**
 * What a node may answer. `success`: nothing else. `refusal`: a coded one. `answer`: either.
 * `status`: also a bare gRPC status, as those protocols have for how a message travels.
 * `http`: also what HTTP has for it.
 */
export type Expectation = 'success' | 'refusal' | 'answer' | 'status' | 'http'

export interface Carrier {
  readonly name: string
  readonly http: '1.1' | '2'
  readonly json: boolean
  /** Whether messages travel in frames: flags and length before each. */
  readonly framed: boolean
  readonly headers: Readonly<Record<string, string>>
  /** The header that names the compression of what is sent. */
  readonly encodingHeader: string
}

export interface Call {
  readonly what: string
  readonly rpc: Rpc
  readonly carrier: Carrier
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** In how many pieces the body goes out. */
  readonly pieces: number
  readonly expects: Expectation
  /** The one code that is right. */
  readonly code?: NodeCode
  /** HTTP itself is broken: the connection may be closed instead. It is then one of its own. */
  readonly breaksHttp: boolean
  /** The message that was meant, as binary or JSON; nothing else may be stored. */
  readonly payload: Uint8Array | undefined
  /** Whether it is all that the body carries, so that a success is one for it. */
  readonly exact: boolean
}

const grpcHeaders = { te: 'trailers' }

const grpc = (http: '1.1' | '2', kind: string, json: boolean): Carrier => ({
  name: `${kind}${json ? ' JSON' : ''} over HTTP/${http}`,
  http,
  json,
  framed: true,
  headers: {
    'content-type': `application/${kind}+${json ? 'json' : 'proto'}`,
    ...(kind === 'grpc' ? grpcHeaders : { 'x-grpc-web': '1' }),
  },
  encodingHeader: 'grpc-encoding',
})

const connect = (http: '1.1' | '2', json: boolean, stream: boolean): Carrier => ({
  name: `Connect${json ? ' JSON' : ''} over HTTP/${http}`,
  http,
  json,
  framed: stream,
  headers: {
    'content-type': `application/${stream ? 'connect+' : ''}${json ? 'json' : 'proto'}`,
    'connect-protocol-version': '1',
  },
  encodingHeader: stream ? 'connect-content-encoding' : 'content-encoding',
})

const carriers = (stream: boolean): readonly Carrier[] => [
  grpc('2', 'grpc', false),
  grpc('2', 'grpc', false),
  grpc('2', 'grpc', true),
  grpc('1.1', 'grpc-web', false),
  grpc('1.1', 'grpc-web', false),
  grpc('2', 'grpc-web', false),
  grpc('1.1', 'grpc-web', true),
  connect('1.1', false, stream),
  connect('1.1', true, stream),
  connect('1.1', true, stream),
  connect('2', false, stream),
  connect('2', true, stream),
]
const unaryCarriers = carriers(false)
const streamCarriers = carriers(true)

// The largest requests are sent again and again, and take seconds to write as JSON.
const serialised = [new WeakMap<Message, Uint8Array>(), new WeakMap<Message, Uint8Array>()] as const

function serialise(rpc: Rpc, message: Message, json: boolean): Uint8Array {
  const known = serialised[json ? 0 : 1]
  const bytes =
    known.get(message) ??
    (json
      ? Buffer.from(toJsonString(requestSchemas[rpc], message))
      : toBinary(requestSchemas[rpc], message))
  known.set(message, bytes)
  return bytes
}

/** A frame as gRPC, gRPC-web and Connect streams have them, with any flags and any length. */
export function frame(message: Uint8Array, flags = 0, length = message.length): Uint8Array {
  const bytes = Buffer.alloc(5 + message.length)
  bytes.writeUInt8(flags, 0)
  bytes.writeUInt32BE(length, 1)
  bytes.set(message, 5)
  return bytes
}

export const pathOf = (rpc: string): string => `/padlock.v1.NodeService/${rpc}`

/** An honest request, in any protocol. */
export function honestCall(sample: Sample, random: Random, expects?: Expectation): Call {
  const { rpc, certain } = sample
  const carrier = random.pick(rpc === 'Subscribe' ? streamCarriers : unaryCarriers)
  const payload = serialise(rpc, sample.message, carrier.json)
  return {
    what: 'honest',
    rpc,
    carrier,
    method: 'POST',
    path: pathOf(rpc),
    headers: carrier.headers,
    body: carrier.framed ? frame(payload) : payload,
    pieces: random.pick([1, 1, 1, 2, 5]),
    expects: expects ?? (certain ? 'success' : 'answer'),
    breaksHttp: false,
    payload,
    exact: true,
  }
}

/** The same call with another message in it. */
function carrying(call: Call, what: string, payload: Uint8Array): Call {
  const body = call.carrier.framed ? frame(payload) : payload
  return { ...call, what, payload, body, expects: 'answer' }
}

/** A request whose message is damaged; what carries it is not. */
export function damagedMessage(sample: Sample, random: Random): Call {
  const call = honestCall(sample, random)
  if (call.payload === undefined) return call
  const { what, bytes } = call.carrier.json
    ? mutateJson(Buffer.from(call.payload).toString(), random)
    : mutate(call.payload, requestSchemas[call.rpc], random)
  return carrying(call, what, bytes)
}

type Damage = (call: Call, random: Random) => Call

const withHeaders = (
  call: Call,
  headers: Record<string, string>,
  expects: Expectation = 'http',
): Call => ({ ...call, headers: { ...call.headers, ...headers }, expects })

const framed =
  (damage: (payload: Uint8Array, random: Random) => Uint8Array): Damage =>
  (call, random) => ({
    ...call,
    body: damage(call.payload ?? new Uint8Array(), random),
    expects: 'status',
    exact: false,
  })

const frameDamages: { readonly [what: string]: Damage } = {
  'a frame length that lies': framed((payload, random) => {
    const { length } = payload
    const lies = [length + 1, Math.max(0, length - 1), 0, 0x7fff_ffff, 0xffff_ffff, 36 << 20]
    return frame(payload, 0, random.pick(lies))
  }),
  'frame flags that mean nothing here': framed((payload, random) =>
    frame(payload, random.pick([1, 2, 3, 4, 0x80, 0x81, 0xff])),
  ),
  'a frame header that is cut': framed((payload, random) =>
    frame(payload).subarray(0, random.below(5)),
  ),
  'a frame that is cut': framed((payload, random) =>
    frame(payload).subarray(0, 5 + random.below(Math.max(1, payload.length))),
  ),
  'two messages': framed((payload) => Buffer.concat([frame(payload), frame(payload)])),
  'many empty messages': framed(() => new Uint8Array(5 * 10_000)),
  'an end of stream before the message': framed((payload) =>
    Buffer.concat([frame(Buffer.from('{}'), 2), frame(payload)]),
  ),
  'an end of stream after the message': framed((payload) =>
    Buffer.concat([frame(payload), frame(Buffer.from('{"metadata":{"a":["b"]}}'), 2)]),
  ),
  'trailers after the message': framed((payload) =>
    Buffer.concat([frame(payload), frame(Buffer.from('grpc-status: 0\r\n'), 0x80)]),
  ),
  'garbage after the message': framed((payload, random) =>
    Buffer.concat([frame(payload), randomBytes(random, 1 + random.below(30))]),
  ),
}

const zeros = (mib: number): Uint8Array => gzipSync(new Uint8Array(mib << 20))
// Made once: compressing them takes longer than everything else.
const lazily = <T>(make: () => T): (() => T) => {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
const smallBomb = lazily(() => zeros(64))
// Members of one gzip file follow one another (RFC 1952 section 2.2): a GiB that is made in a second.
const largeBomb = lazily(() => Buffer.concat(Array<Uint8Array>(16).fill(smallBomb())))

/** The node takes nothing that is compressed, whatever it would inflate to. */
const compressed =
  (compress: (payload: Uint8Array, random: Random) => Uint8Array): Damage =>
  (call, random) => {
    const bytes = compress(call.payload ?? new Uint8Array(), random)
    return {
      ...withHeaders(call, { [call.carrier.encodingHeader]: 'gzip' }, 'refusal'),
      body: call.carrier.framed ? frame(bytes, 1) : bytes,
      exact: false,
    }
  }

const compressionDamages: { readonly [what: string]: Damage } = {
  'honest gzip': compressed((payload) => gzipSync(payload)),
  'gzip that is garbage': compressed((payload, random) =>
    Buffer.concat([Uint8Array.of(0), randomBytes(random, 30), payload]),
  ),
  'gzip of 64 MiB': compressed(() => smallBomb()),
  'gzip of a GiB': compressed(() => largeBomb()),
  'a compression nobody has': (call, random) =>
    withHeaders(call, {
      [call.carrier.encodingHeader]: random.pick(['br', 'zstd', 'gzip, gzip', 'x', '*', 'GZIP']),
    }),
  'a frame that says it is compressed': (call) => ({
    ...call,
    body: frame(call.payload ?? new Uint8Array(), 1),
    expects: 'status',
    exact: false,
  }),
}

const strangeTypes = [
  '',
  'text/plain',
  'application/octet-stream',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/grpc',
  'application/grpc-web',
  'application/grpc-web-text',
  'application/grpc-web-text+proto',
  'application/grpc+thrift',
  'application/connect+proto',
  'application/connect+json',
  'application/proto',
  'application/json; charset=utf-16',
  'APPLICATION/JSON',
  'application/json, application/json',
  `application/${'x'.repeat(4_000)}`,
]
const strangePaths = [
  '/',
  '//',
  '/padlock.v1.NodeService/',
  '/padlock.v1.NodeService/publish',
  '/padlock.v1.NodeService/Publish/',
  '/padlock.v1.NodeService//Publish',
  '/padlock.v1.NodeService/../NodeService/Publish',
  '/padlock.v1.NodeService/%50ublish',
  '/padlock.v1.NodeService/Publish%00',
  '/padlock.v1.Node/Publish',
  '/__proto__',
  '/constructor',
  '/padlock.v1.NodeService/Publish;a=b',
  `/${'a'.repeat(6_000)}`,
]
const strangeTimeouts = ['', '0', '-1', 'x', '1', '1e3', '99999999999999999999', '1.5', '0m']
const grpcTimeouts = ['0n', '1n', '100000000000S', '-1S', '1', 'S', '1Y', '99999999H', ' 1S']

const headerDamages: { readonly [what: string]: Damage } = {
  'a wrong content type': (call, random) =>
    withHeaders(call, { 'content-type': random.pick(strangeTypes) }),
  'a path of nothing': (call, random) => ({
    ...call,
    path: random.pick(strangePaths),
    expects: 'http',
  }),
  'a query in the path': (call, random) => ({
    ...call,
    path: `${call.path}?${random.pick(['', 'a=b', 'encoding=json&message={}', '%', '%ff=%00'])}`,
    expects: call.expects,
  }),
  'a wrong method': (call, random) => ({
    ...call,
    method: random.pick(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND']),
    body: new Uint8Array(),
    payload: undefined,
    expects: 'http',
  }),
  'a GET that carries a message': (call) => ({
    ...call,
    method: 'GET',
    path: `${call.path}?connect=v1&encoding=json&message=%7B%7D`,
    body: new Uint8Array(),
    payload: undefined,
    expects: 'http',
  }),
  'a time-out that is none': (call, random) =>
    withHeaders(call, {
      'grpc-timeout': random.pick(grpcTimeouts),
      'connect-timeout-ms': random.pick(strangeTimeouts),
    }),
  'another version of Connect': (call, random) =>
    withHeaders(call, { 'connect-protocol-version': random.pick(['0', '2', '', 'x']) }),
  'binary headers that are none': (call) =>
    withHeaders(call, { 'a-bin': '!!!', 'grpc-status-details-bin': 'AA=' }, call.expects),
  'headers that belong to answers': (call) =>
    withHeaders(call, { 'grpc-status': '13', 'grpc-message': '%zz' }, call.expects),
  'an accepted compression nobody has': (call) =>
    withHeaders(
      call,
      { 'grpc-accept-encoding': 'x,,y', 'connect-accept-encoding': ',', 'accept-encoding': '*' },
      call.expects,
    ),
  'an origin that is none': (call) => withHeaders(call, { origin: 'null\t"<>' }, call.expects),
  'a great header': (call, random) => ({
    ...withHeaders(call, { 'x-filler': 'y'.repeat(random.pick([8_000, 20_000, 60_000])) }),
    breaksHttp: true,
  }),
  'a great many headers': (call) => {
    const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`x-${n}`, canary]))
    return { ...withHeaders(call, many), breaksHttp: true }
  },
  'a content length that lies': (call, random) => {
    const { length } = call.body
    const lie = random.pick([length + 1, Math.max(0, length - 1), 0, 2 ** 31, 2 ** 53, 40 << 20])
    return { ...withHeaders(call, { 'content-length': `${lie}` }), breaksHttp: true, exact: false }
  },
}

const damagesByPlace = [frameDamages, compressionDamages, headerDamages]

/** A request whose message is whole; what carries it is damaged. */
export function damagedCarrier(sample: Sample, random: Random): Call {
  const damages = random.pick(damagesByPlace)
  const what = random.pick(Object.keys(damages))
  const call = honestCall(sample, random)
  return { ...(damages[what]?.(call, random) ?? call), what }
}
