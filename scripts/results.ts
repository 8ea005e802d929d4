/**
 * Turns a test runner's machine-readable report into counts, and never trusts a report alone: a
 * runner that failed without naming a failure counts as one failure.
 */
import { readFileSync } from 'node:fs'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const none: Counts = { passed: 0, failed: 0, skipped: 0 }

export const add = (a: Counts, b: Counts): Counts => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
})

/** A plain check is one test; its exit code decides. */
export const countCheck = (exitCode: number): Counts =>
  exitCode === 0 ? { ...none, passed: 1 } : { ...none, failed: 1 }

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null

const asNumber = (value: unknown): number => (typeof value === 'number' ? value : 0)

const asList = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter(isJson) : []

const readJson = (path: string): Json | undefined => {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isJson(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Adds one failure for a runner that crashed, or that failed for a reason outside its tests. */
const withCrash = (counts: Counts, exitCode: number): Counts =>
  exitCode !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts

/** Reads vitest's `--reporter=json`; a file that could not be loaded is one failure. */
export const countVitest = (reportPath: string, exitCode: number): Counts => {
  const report = readJson(reportPath)
  if (!report) return { ...none, failed: 1 }
  const brokenFiles = asList(report.testResults).filter(
    (file) => file.status === 'failed' && asList(file.assertionResults).length === 0,
  ).length
  const counts = {
    passed: asNumber(report.numPassedTests),
    failed: asNumber(report.numFailedTests) + brokenFiles,
    skipped: asNumber(report.numPendingTests) + asNumber(report.numTodoTests),
  }
  return withCrash(counts, exitCode)
}

/** Reads Playwright's JSON reporter; errors outside tests are failures, and so are flaky tests. */
export const countPlaywright = (reportPath: string, exitCode: number): Counts => {
  const report = readJson(reportPath)
  if (!report || !isJson(report.stats)) return { ...none, failed: 1 }
  const { expected, unexpected, flaky, skipped } = report.stats
  const counts = {
    passed: asNumber(expected),
    failed: asNumber(unexpected) + asNumber(flaky) + asList(report.errors).length,
    skipped: asNumber(skipped),
  }
  return withCrash(counts, exitCode)
}

/** Reads libtest's JSON lines of one test program. */
export const countLibtest = (lines: string, exitCode: number): Counts => {
  let counts = none
  for (const line of lines.split('\n')) {
    if (!line.startsWith('{')) continue
    const event: unknown = JSON.parse(line)
    if (!isJson(event) || event.type !== 'suite' || event.event === 'started') continue
    counts = add(counts, {
      passed: asNumber(event.passed),
      failed: asNumber(event.failed),
      skipped: asNumber(event.ignored),
    })
  }
  return withCrash(counts, exitCode)
}

/** The paths of the test programs that `cargo test --no-run --message-format=json` built. */
export const readTestPrograms = (lines: string): string[] => {
  const programs: string[] = []
  for (const line of lines.split('\n')) {
    if (!line.startsWith('{')) continue
    const message: unknown = JSON.parse(line)
    if (!isJson(message) || message.reason !== 'compiler-artifact') continue
    if (!isJson(message.profile) || message.profile.test !== true) continue
    if (typeof message.executable === 'string') programs.push(message.executable)
  }
  return programs
}
