/** Text forms of bytes, and the form that is signed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  concatBytes,
  decodeBase64Url,
  decodeHex,
  encodeBase64,
  encodeBase64Url,
  encodeHex,
  encodeSigningBytes,
  equalBytes,
} from '../../src/protocol/bytes.ts'
import { takeBytes } from '../../src/protocol/protobuf.ts'
import { check } from './support.ts'

test('section 1: bytes come back from hex and base64url, which are those of Node', () => {
  check(fc.uint8Array({ maxLength: 70 }), (bytes) => {
    expect(decodeHex(encodeHex(bytes))).toEqual(bytes)
    expect(decodeHex(encodeHex(bytes).toUpperCase())).toEqual(bytes)
    expect(decodeBase64Url(encodeBase64Url(bytes))).toEqual(bytes)
    expect(encodeBase64Url(bytes)).toBe(Buffer.from(bytes).toString('base64url'))
    expect(encodeBase64(bytes)).toBe(Buffer.from(bytes).toString('base64').replace(/=+$/, ''))
  })
})

test('section 1: base64url has one form of the same bytes', () => {
  expect(decodeBase64Url('AA')).toEqual(Uint8Array.of(0))
  for (const text of ['AB', 'A', 'AA=', 'AA==', 'A+', '/A', 'A A', 'AA\n', 'é']) {
    expect(decodeBase64Url(text)).toBeUndefined()
  }
  for (const text of ['0', '0x00', 'zz', '00 ', '00\n', '０0']) {
    expect(decodeHex(text)).toBeUndefined()
  }
})

test('section 1: bytes are equal if their lengths and all bytes are', () => {
  check(fc.tuple(fc.uint8Array({ maxLength: 4 }), fc.uint8Array({ maxLength: 4 })), ([a, b]) => {
    expect(equalBytes(a, b)).toBe(encodeHex(a) === encodeHex(b))
    expect(equalBytes(concatBytes(a, b), Uint8Array.of(...a, ...b))).toBe(true)
  })
})

test('section 1: each kind of field is signed in its own form', () => {
  expect(encodeHex(encodeSigningBytes(['é']))).toBe('00000002c3a9')
  expect(encodeHex(encodeSigningBytes([Uint8Array.of(7)]))).toBe('0000000107')
  expect(encodeHex(encodeSigningBytes([258n]))).toBe('0000000000000102')
  expect(encodeHex(encodeSigningBytes([true, false]))).toBe('0100')
  expect(encodeSigningBytes([])).toEqual(new Uint8Array())
})

test('section 1: a field of fixed length is copied, and absent if it is of another', () => {
  const whole = Uint8Array.of(1, 2, 3, 4)
  const taken = takeBytes(whole.subarray(1, 3), 2)
  whole.fill(0)
  expect(taken).toEqual(Uint8Array.of(2, 3))
  expect(takeBytes(whole, 3)).toBeUndefined()
  expect(takeBytes(undefined, 0)).toBeUndefined()
})
