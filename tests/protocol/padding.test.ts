/** Padding: the vectors, and that every length comes back. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Checked } from '../../src/protocol/result.ts'
import { padMessage, padMetadata, padme, unpadMessage, unpadMetadata } from '../support/padding.ts'
import { expectBytes, testVectors, type Vector } from '../vectors/vectors.ts'
import { check, passed } from './support.ts'

function expectChecked(vector: Vector, result: Checked<Uint8Array>): void {
  if (vector.code === undefined) expectBytes(passed(result), vector.output ?? null)
  else expect(result).toMatchObject({ ok: false, code: 'malformed' })
}

testVectors('padding', {
  padme: (vector) => {
    expect(padme(Number(vector.input.integer('length'))).toString()).toBe(vector.output)
  },
  pad_metadata: (vector) => expectChecked(vector, padMetadata(vector.input.bytes('data'))),
  unpad_metadata: (vector) => expectChecked(vector, unpadMetadata(vector.input.bytes('data'))),
  pad_message: (vector) =>
    expectChecked(vector, { ok: true, value: padMessage(vector.input.bytes('data')) }),
  unpad_message: (vector) => expectChecked(vector, unpadMessage(vector.input.bytes('data'))),
})

test('section 8: what is padded comes back, in a length that tells little', () => {
  check(fc.uint8Array({ maxLength: 5000 }), (message) => {
    const padded = padMessage(message)
    expect(passed(unpadMessage(padded))).toEqual(message)
    expect(padded.length).toBeGreaterThan(message.length)
    if (padded.length > 512)
      expect(padded.length).toBeLessThanOrEqual((message.length + 1) * 1.0625)
  })
  check(fc.uint8Array({ maxLength: 319 }), (metadata) => {
    expect(passed(unpadMetadata(passed(padMetadata(metadata))))).toEqual(metadata)
  })
})

test('section 8: Padmé is the formula of the text for every length to 70,000 and around each power of two', () => {
  const formula = (length: bigint): bigint => {
    const exponent = BigInt(length.toString(2).length - 1)
    const bits = exponent === 0n ? 0n : BigInt(exponent.toString(2).length)
    if (exponent <= bits) return length
    const step = 2n ** (exponent - bits)
    return ((length + step - 1n) / step) * step
  }
  for (let length = 1; length <= 70_000; length += 1) {
    if (BigInt(padme(length)) !== formula(BigInt(length))) expect.fail(`padme(${length})`)
  }
  for (let exponent = 0; exponent < 31; exponent += 1) {
    for (const length of [2 ** exponent - 1, 2 ** exponent, 2 ** exponent + 1]) {
      if (length > 0) expect(BigInt(padme(length))).toBe(formula(BigInt(length)))
    }
  }
})

test('section 8: each padded message has one shape: every other length of zeros is refused', () => {
  check(
    fc.tuple(fc.uint8Array({ maxLength: 600 }), fc.integer({ min: -40, max: 40 })),
    ([message, by]) => {
      const padded = padMessage(message)
      const other = new Uint8Array(padded.length + by)
      other.set(padded.subarray(0, Math.min(padded.length, other.length)))
      if (by !== 0) expect(unpadMessage(other).ok).toBe(false)
    },
  )
})
