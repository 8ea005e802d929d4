/** Reports of test runners become counts, and no failure can hide in them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Counts,
  countLibtest,
  countPlaywright,
  countVitest,
  readTestPrograms,
} from '../../scripts/results.ts'

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'results-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const write = (report: unknown): string => {
  const path = join(dir, 'report.json')
  writeFileSync(path, typeof report === 'string' ? report : JSON.stringify(report))
  return path
}

const counts = (passed: number, failed: number, skipped = 0): Counts => ({
  passed,
  failed,
  skipped,
})

test('vitest: tests are counted, skipped ones apart', () => {
  const report = { numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 }
  expect(countVitest(write(report), 1)).toEqual(counts(5, 1, 3))
})

test('vitest: a file that does not load is a failure', () => {
  const testResults = [{ status: 'failed', assertionResults: [] }]
  expect(countVitest(write({ numPassedTests: 5, numFailedTests: 0, testResults }), 1)).toEqual(
    counts(5, 1),
  )
})

test('vitest: an error outside the tests is a failure', () => {
  expect(countVitest(write({ numPassedTests: 5, numFailedTests: 0 }), 1)).toEqual(counts(5, 1))
})

test('a runner that wrote no report, or half of one, is one failure', () => {
  expect(countVitest(join(dir, 'missing.json'), 0)).toEqual(counts(0, 1))
  expect(countVitest(write('{"numPassed'), 0)).toEqual(counts(0, 1))
  expect(countPlaywright(write('{}'), 0)).toEqual(counts(0, 1))
})

test('Playwright: flaky tests and errors outside tests are failures', () => {
  const stats = { expected: 3, unexpected: 1, flaky: 1, skipped: 2 }
  expect(countPlaywright(write({ stats, errors: [{ message: 'x' }] }), 1)).toEqual(counts(3, 3, 2))
})

test('cargo: suites add up, and a program that dies is a failure', () => {
  const lines = [
    '{"type":"suite","event":"started","test_count":2}',
    '{"type":"test","event":"ok","name":"a"}',
    '{"type":"suite","event":"ok","passed":2,"failed":0,"ignored":1}',
  ].join('\n')
  expect(countLibtest(lines, 0)).toEqual(counts(2, 0, 1))
  expect(countLibtest('{"type":"suite","event":"started"}', 134)).toEqual(counts(0, 1))
})

test('cargo: only test programs are run', () => {
  const artifact = (test: boolean, executable: string | null): string =>
    JSON.stringify({ reason: 'compiler-artifact', profile: { test }, executable })
  const lines = ['noise', artifact(true, '/a'), artifact(false, '/b'), artifact(true, null)]
  expect(readTestPrograms(lines.join('\n'))).toEqual(['/a'])
})
