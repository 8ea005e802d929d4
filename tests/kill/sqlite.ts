/** The kill test on the embedded store: one node, one file, which must be whole at the end. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type KillOptions, type KillReport, runKillTest } from './run.ts'

export async function killOnSqlite(
  options: Pick<KillOptions, 'seed' | 'kills' | 'main' | 'log'>,
): Promise<KillReport> {
  const data = await mkdtemp(join(tmpdir(), 'padlock-kill-'))
  try {
    const report = await runKillTest({ ...options, nodes: 1, args: () => ['--data', data] })
    const database = new DatabaseSync(join(data, 'node.sqlite'))
    const rows = database.prepare('PRAGMA integrity_check').all()
    database.close()
    const isWhole = rows.length === 1 && rows[0]?.integrity_check === 'ok'
    const problems = isWhole ? [] : [`SQLite finds its file damaged: ${JSON.stringify(rows)}`]
    return { ...report, problems: [...report.problems, ...problems] }
  } finally {
    await rm(data, { recursive: true, force: true })
  }
}
