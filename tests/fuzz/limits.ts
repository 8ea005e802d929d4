/**
 * Requests at the limits of docs/protocol.md section 11, and one past each; and those that are small
 * on the wire and large in memory.
 */
import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import {
  ClaimPrekeysRequestSchema,
  PublishRequestSchema,
  QueryRequestSchema,
  SubscribeRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import {
  claimLimitInstallations,
  contactLimitBytes,
  envelopeLimitBytes,
  prekeyUploadLimitBytes,
  requestLimitBytes,
  requestLimitEnvelopes,
  revocationLimitBytes,
  topicsLimit,
} from '../../src/protocol/limits.ts'
import type { NodeCode } from '../../src/protocol/node-codes.ts'
import { bytesFor } from '../node/support.ts'
import { type Call, type Expectation, frame, honestCall } from './calls.ts'
import { type FuzzWorld, letters, type Random, type Sample, stray } from './samples.ts'

interface LimitCase {
  readonly what: string
  /** Among all; what is large is rare. */
  readonly weight: number
  readonly make: (world: FuzzWorld) => Sample
  /** Absent: it must be accepted. */
  readonly code?: NodeCode
}

const topics = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    topic: `contact-0x${n.toString(16).padStart(40, '0')}`,
  }))

const query = (count: number): Sample => ({
  rpc: 'Query',
  certain: false,
  message: create(QueryRequestSchema, { topics: topics(count) }),
})

const subscription = (count: number): Sample => ({
  rpc: 'Subscribe',
  certain: false,
  message: create(SubscribeRequestSchema, { topics: topics(count) }),
})

/** The id of an installation that nobody has: 32 bytes as base64url. */
const idOf = (n: number): string => Buffer.from(bytesFor(`nobody ${n}`)).toString('base64url')

const claim = (world: FuzzWorld, count: number): Sample => ({
  rpc: 'ClaimPrekeys',
  certain: false,
  message: create(ClaimPrekeysRequestSchema, {
    claimId: bytesFor(`claim of ${count} ${world.seed}`).subarray(0, 16),
    installationIds: Array.from({ length: count }, (_, n) => idOf(n)),
  }),
})

const mebibytes = (count: number, more: number): number[] => [
  ...Array<number>(count).fill(envelopeLimitBytes),
  ...Array<number>(more > 0 ? 1 : 0).fill(more),
]
const full = requestLimitBytes / envelopeLimitBytes

// What is accepted is the same each time, so that the node stores it once.
const cases: readonly LimitCase[] = [
  {
    what: 'the largest envelope',
    weight: 4,
    make: (world) => letters(world, [envelopeLimitBytes], 'large'),
  },
  {
    what: 'an envelope one byte too large',
    weight: 4,
    make: (world) => letters(world, [envelopeLimitBytes + 1], 'larger'),
    code: 'too_large',
  },
  {
    what: 'as many envelopes as may be',
    weight: 4,
    make: (world) => letters(world, Array<number>(requestLimitEnvelopes).fill(64), 'many'),
  },
  {
    what: 'one envelope too many',
    weight: 4,
    make: (world) => letters(world, Array<number>(requestLimitEnvelopes + 1).fill(64), 'more'),
    code: 'too_large',
  },
  {
    what: 'the largest request',
    weight: 1,
    make: (world) => letters(world, mebibytes(full, 0), 'full'),
  },
  {
    what: 'a request one byte too large',
    weight: 1,
    make: (world) => letters(world, mebibytes(full, 1), 'over'),
    code: 'too_large',
  },
  {
    what: 'no envelope',
    weight: 4,
    make: () => ({ rpc: 'Publish', certain: false, message: create(PublishRequestSchema) }),
    code: 'malformed',
  },
  {
    what: 'a contact too large',
    weight: 4,
    make: () => stray(`contact-0x${'0'.repeat(40)}`, contactLimitBytes + 1),
    code: 'too_large',
  },
  {
    what: 'a revocation too large',
    weight: 4,
    make: () => stray(`revoked-0x${'0'.repeat(40)}`, revocationLimitBytes + 1),
    code: 'too_large',
  },
  {
    what: 'an upload too large',
    weight: 4,
    make: () => stray(`prekey-${idOf(0)}`, prekeyUploadLimitBytes + 1),
    code: 'too_large',
  },
  {
    what: 'a topic of no kind',
    weight: 4,
    make: () => stray('nothing-here', 10),
    code: 'unknown_topic',
  },
  { what: 'as many topics as may be', weight: 4, make: () => query(topicsLimit) },
  {
    what: 'one topic too many',
    weight: 4,
    make: () => query(topicsLimit + 1),
    code: 'too_large',
  },
  { what: 'as many topics as may be followed', weight: 2, make: () => subscription(topicsLimit) },
  {
    what: 'one topic too many to follow',
    weight: 4,
    make: () => subscription(topicsLimit + 1),
    code: 'too_large',
  },
  {
    what: 'as many claims as may be',
    weight: 4,
    make: (world) => claim(world, claimLimitInstallations),
  },
  {
    what: 'one claim too many',
    weight: 4,
    make: (world) => claim(world, claimLimitInstallations + 1),
    code: 'too_large',
  },
]
const weighted = cases.flatMap((one) => Array<LimitCase>(one.weight).fill(one))

const made = new WeakMap<FuzzWorld, Map<string, Sample>>()

/** A request at a limit or one past it. */
export function limitCall(world: FuzzWorld, random: Random): Call {
  const { what, make, code } = random.pick(weighted)
  const expects: Expectation = code === undefined ? 'success' : 'refusal'
  const sample = made.get(world)?.get(what) ?? make(world)
  made.set(world, (made.get(world) ?? new Map<string, Sample>()).set(what, sample))
  const call = honestCall(sample, random, expects)
  return { ...call, what, ...(code !== undefined && { code }) }
}

/** Two bytes of a message, again and again: each pair becomes an object where it is parsed. */
const swarm = (pair: readonly [number, number], bytes: number): Uint8Array => {
  const swarming = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 2) swarming.set(pair, at)
  return swarming
}

/**
 * Requests of as many MiB as one may have, made of nothing but empty parts or unknown fields, which
 * take many times that in memory if each becomes an object; plain, and as some kilobytes of gzip.
 */
export function* swarmCalls(world: FuzzWorld, random: Random, mebibytes: number): Generator<Call> {
  const samples: readonly Sample[] = [
    { rpc: 'Publish', certain: false, message: create(PublishRequestSchema) },
    query(0),
    subscription(0),
    claim(world, 0),
  ]
  for (const sample of samples) {
    const list = sample.rpc === 'ClaimPrekeys' ? 0x12 : 0x0a
    for (const [pair, what] of [
      [[list, 0], 'empty parts'],
      [[0x78, 1], 'unknown fields'],
    ] as const) {
      const plain = swarm(pair, mebibytes << 20)
      for (const gzip of [true, false]) {
        yield carried(honestCall(sample, random), `${mebibytes} MiB of ${what}`, plain, gzip)
      }
    }
  }
}

function carried(base: Call, what: string, plain: Uint8Array, gzip: boolean): Call {
  const carrier = { ...base.carrier, json: false }
  const contentType = (base.headers['content-type'] ?? '').replace('json', 'proto')
  const bytes = gzip ? gzipSync(plain) : plain
  const encoding = gzip ? { [carrier.encodingHeader]: 'gzip' } : {}
  return {
    ...base,
    what: gzip ? `${what} as gzip` : what,
    carrier,
    headers: { ...base.headers, 'content-type': contentType, ...encoding },
    body: carrier.framed ? frame(bytes, gzip ? 1 : 0) : bytes,
    payload: undefined,
    exact: false,
    expects: 'status',
    // Refused before all of it is read, so the rest meets a closed stream.
    breaksHttp: !gzip,
  }
}
