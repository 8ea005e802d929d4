/** Content: the vectors, what an application may send, and what a peer may not do. */
import { deflateSync, gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inflate } from '../../src/content/compression.ts'
import { decodeContent, encodeContent, readInternalType } from '../../src/content/registry.ts'
import { textCodec } from '../../src/content/text.ts'
import { formatContentType, isInternalType, isReadableAs } from '../../src/content/type-id.ts'
import { EncodedContentSchema } from '../../src/gen/padlock/v1/content_pb.ts'
import { contentLimitBytes } from '../../src/protocol/limits.ts'
import { expectBytes, Fields, readBytes, testVectors } from '../vectors/vectors.ts'

const textType = textCodec.id

const encoder = new TextEncoder()
// Our own decoder: TextDecoder drops a leading U+FEFF unless told not to.
const readText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

testVectors('own', {
  encode_text: (vector) =>
    expectBytes(encodeContent(readText(vector.input.bytes('utf8'))), vector.output ?? null),
  decode_content: async (vector) => {
    const decoded = await decodeContent(vector.input.bytes('data'))
    const output = new Fields(vector.output ?? null)
    if (decoded.type === 'text') {
      expect(output.text('type')).toBe('text')
      const expected = readText(readBytes(output.value('utf8')))
      // Not toBe: a difference in 8 MiB would be printed.
      expect(decoded.content === expected).toBe(true)
    } else {
      expect({
        type: decoded.type,
        type_id: decoded.typeId,
        fallback: decoded.fallback ?? null,
        reason: decoded.reason ?? null,
      }).toEqual(output.json)
    }
  },
  topic: 'elsewhere',
  check_payload: 'elsewhere',
})

test('section 4: any text comes back as it was sent', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (text) => {
      expect(await decodeContent(encodeContent(text))).toEqual({ type: 'text', content: text })
      expect(encodeContent({ type: 'text', content: text })).toEqual(encodeContent(text))
    }),
    { seed: 20261120, numRuns: 200 },
  )
})

test('section 4: half a character becomes U+FFFD and is not refused', async () => {
  const decoded = await decodeContent(encodeContent('a\ud800b'))
  expect(decoded).toEqual({ type: 'text', content: 'a\ufffdb' })
})

test('section 4: anything but content is an invalid argument, and too much of it is too large', () => {
  for (const wrong of [undefined, null, 5, {}, { type: 'text' }, { type: 'image', content: 'x' }]) {
    // As a caller in plain JavaScript would.
    expect(() => Reflect.apply(encodeContent, undefined, [wrong])).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  }
  const overhead =
    encodeContent('x'.repeat(contentLimitBytes - 100)).length - (contentLimitBytes - 100)
  const largest = 'x'.repeat(contentLimitBytes - overhead)
  expect(encodeContent(largest).length).toBe(contentLimitBytes)
  expect(() => encodeContent(`${largest}x`)).toThrow(
    expect.objectContaining({ code: 'message_too_large' }),
  )
})

test('section 4: a bomb is not inflated beyond the limit', async () => {
  const bomb = gzipSync(new Uint8Array(256 * 1024 * 1024))
  expect(bomb.length).toBeLessThan(contentLimitBytes)
  const before = process.memoryUsage().arrayBuffers
  expect(await inflate(bomb, 'gzip', 1024 * 1024)).toEqual({ kind: 'too_large' })
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024)
})

test('section 4: compressed bytes come back, whichever of the two formats', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
      expect(await inflate(deflateSync(bytes), 'deflate', 3000)).toEqual({
        kind: 'inflated',
        bytes,
      })
      expect(await inflate(gzipSync(bytes), 'gzip', 3000)).toEqual({ kind: 'inflated', bytes })
    }),
    { seed: 20261120, numRuns: 50 },
  )
})

test('section 4: no bytes make decoding reject', async () => {
  const good = encodeContent('gm')
  const damaged = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.nat({ max: good.length - 1 }).map((length) => good.slice(0, length)),
    fc.nat({ max: good.length * 8 - 1 }).map((bit) => {
      const changed = Uint8Array.from(good)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return changed
    }),
  )
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      const decoded = await decodeContent(bytes)
      expect(['text', 'unknown']).toContain(decoded.type)
    }),
    { seed: 20261120, numRuns: 300 },
  )
})

test('section 4: internal types can be read without decoding, and no other type is one', () => {
  expect(readInternalType(encodeContent('gm'))).toBeUndefined()
  expect(readInternalType(Uint8Array.of(0xff))).toBeUndefined()
  expect(readInternalType(new Uint8Array())).toBeUndefined()
  const internal = toBinary(
    EncodedContentSchema,
    create(EncodedContentSchema, {
      type: { authorityId: 'padlock', typeId: 'retransmit-request', versionMajor: 1 },
      content: encoder.encode('x'),
    }),
  )
  const type = readInternalType(internal)
  if (type === undefined) throw new Error('no type')
  expect(isInternalType(type)).toBe(true)
  expect(formatContentType(type)).toBe('padlock/retransmit-request:1.0')
  expect(isInternalType(textType)).toBe(false)
  expect(isInternalType({ ...textType, authorityId: 'padlock.example' })).toBe(false)
  expect(isReadableAs({ ...textType, versionMinor: 7 }, textType)).toBe(true)
  expect(isReadableAs({ ...textType, versionMajor: 2 }, textType)).toBe(false)
})
