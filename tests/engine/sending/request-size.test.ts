/** How large requests are: as much as the line carries in five seconds. */
import { expect, test } from 'vitest'
import { RequestSize } from '../../../src/engine/sending/request-size.ts'
import { requestLimitBytes } from '../../../src/protocol/limits.ts'

const kib = 1_024

test('requests start at 256 KiB, double on a fast line, and end at the protocol’s limit', () => {
  const size = new RequestSize()
  const sizes: number[] = []
  for (let nth = 0; nth < 8; nth += 1) {
    sizes.push(size.bytes)
    size.onCarried(size.bytes, 100)
  }
  expect(sizes.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 32, 64].map((times) => times * 256 * kib))
  expect(size.bytes).toBe(requestLimitBytes)
})

test('on a slow line a request is what it carries in five seconds', () => {
  const size = new RequestSize()
  // 20 KiB a second.
  for (let nth = 0; nth < 5; nth += 1) size.onCarried(size.bytes, (size.bytes / (20 * kib)) * 1_000)
  expect(size.bytes).toBe(100 * kib)
})

test('a request that failed halves the next, down to 16 KiB', () => {
  const size = new RequestSize()
  size.onFailed(256 * kib)
  expect(size.bytes).toBe(128 * kib)
  size.onFailed(60 * kib)
  expect(size.bytes).toBe(30 * kib)
  for (let nth = 0; nth < 9; nth += 1) size.onFailed(size.bytes)
  expect(size.bytes).toBe(16 * kib)
})

test('a small request says nothing about the line', () => {
  const size = new RequestSize()
  size.onCarried(127 * kib, 1)
  size.onCarried(kib, 60_000)
  expect(size.bytes).toBe(256 * kib)
})

test('a request that took no time at all does not divide by zero', () => {
  const size = new RequestSize()
  size.onCarried(256 * kib, 0)
  expect(size.bytes).toBe(512 * kib)
})
