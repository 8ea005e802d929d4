/**
 * Verifies everything that a node stored: no envelope of a topic is missing, bytes are those that
 * were published, signatures verify, and the tables agree with the topics. Reads only.
 */
import { type Clock, dayNs, systemClock } from '../../clock.ts'
import { defaultRetentionNs, uploadMemoryNs } from '../lifetimes.ts'
import { Expected } from './expected.ts'
import { LogCheck, logStatement } from './logs.ts'
import { type CheckReport, Findings } from './report.ts'
import type { CheckSource } from './source.ts'
import { checkTables } from './tables.ts'

export interface CheckOptions {
  /** How long inboxes keep their envelopes. */
  readonly retentionNs?: bigint
  readonly clock?: Clock
  /** Called now and then with the number of envelopes read. */
  readonly onProgress?: (envelopes: number) => void
}

/** @throws Error if the database cannot be read; problems of its data are in the report. */
export async function checkDatabase(
  source: CheckSource,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const { retentionNs = defaultRetentionNs, clock = systemClock, onProgress } = options
  const findings = new Findings()
  const { nodeId, schemaVersion, problems } = await source.describe()
  const report = (): CheckReport => ({
    nodeId,
    schemaVersion,
    counts: findings.counts,
    problemCount: findings.problemCount,
    problems: findings.problems,
  })
  for (const problem of problems) findings.add('database', problem)
  if (problems.length > 0) return report()
  if (nodeId === undefined) findings.add('database', 'the node id of 16 bytes is missing')

  const nowNs = clock()
  const expected = new Expected()
  try {
    const logs = new LogCheck({
      findings,
      expected,
      mayLackAfter: (kind, nodeNs) =>
        source.dropsInAnyOrder &&
        // A sweep that begins now is a little ahead.
        nodeNs <= nowNs - (kind === 'prekey' ? uploadMemoryNs : retentionNs) + dayNs / 24n,
    })
    for await (const chunk of source.rows(logStatement)) {
      for (const row of chunk) logs.take(row)
      onProgress?.(findings.counts.envelopes)
    }
    logs.end()
    await checkTables(source, expected, findings)
  } finally {
    expected.close()
  }
  return report()
}
