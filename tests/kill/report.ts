/** A kill test's report, for a person. */
import type { KillReport } from './run.ts'

export const showReport = ({ problems, counts }: KillReport): string =>
  [
    ...[...counts].map(([what, count]) => `${String(count).padStart(9)}  ${what}`),
    ...problems.map((problem) => `PROBLEM  ${problem}`),
  ].join('\n')
