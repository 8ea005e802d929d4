import { expect, test } from 'vitest'
import { fewestSizes, growthFaults, growthOf, type Size } from './growth.ts'

const sizes = (count: number, at: (n: number) => Partial<Size>): Size[] =>
  Array.from({ length: count }, (_, n) => ({ held: 40, resident: 200, ...at(n) }))

test('a process that warms up and then stays as it is has not grown', () => {
  expect(growthFaults(sizes(20, (n) => ({ held: n < 6 ? 10 * n : 60 })))).toEqual([])
})

test('one large part is no growth, whenever it comes', () => {
  for (let large = 0; large < 20; large += 1) {
    expect(
      growthFaults(sizes(20, (n) => (n === large ? { held: 900, resident: 2_000 } : {}))),
    ).toEqual([])
  }
})

test('a leak of the same in each part is seen, and so is a step that stays', () => {
  expect(growthFaults(sizes(20, (n) => ({ held: 40 + 6 * n })))).toEqual([
    'held memory grew by 42 MiB',
  ])
  expect(growthFaults(sizes(20, (n) => ({ resident: n < 14 ? 200 : 700 })))).toEqual([
    'resident memory grew by 500 MiB',
  ])
})

test('sizes that could not be read, or too few of them, prove nothing', () => {
  expect(growthFaults(sizes(20, () => ({ held: Number.NaN })))).toHaveLength(1)
  expect(growthFaults(sizes(fewestSizes - 1, () => ({})))).toHaveLength(1)
  expect(growthFaults(sizes(fewestSizes, () => ({})))).toEqual([])
  expect(
    growthOf(
      sizes(fewestSizes, (n) => ({ held: n })),
      'held',
    ),
  ).toBe(2)
})
