/**
 * Compares the public API, as the sources declare it, with the reports in `api/`, one file per
 * entry. `--write` (`npm run api`) rewrites the reports.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { makeDeclarations } from './declarations.ts'
import { cacheDir, root } from './files.ts'
import { run } from './process.ts'

const apiDir = join(root, 'api')

const writeReports = async (dir: string): Promise<void> => {
  for (const [entry, { report }] of await makeDeclarations()) {
    const suffix = entry === 'index' ? '' : `-${entry}`
    writeFileSync(join(dir, `padlock-sdk${suffix}.api.md`), report)
  }
}

/** Shows the differences with git. */
const isCurrent = async (freshDir: string): Promise<boolean> => {
  const folders = [apiDir, freshDir].map((folder) => relative(root, folder))
  const args = ['--no-pager', 'diff', '--no-index', '-U1', ...folders]
  const { code } = await run('git', args, { cwd: root })
  return code === 0
}

mkdirSync(cacheDir, { recursive: true })
const freshDir = mkdtempSync(join(cacheDir, 'api-'))
try {
  await writeReports(freshDir)
  if (await isCurrent(freshDir)) console.log('the public API is as api/ says')
  else if (process.argv.includes('--write')) {
    rmSync(apiDir, { recursive: true, force: true })
    cpSync(freshDir, apiDir, { recursive: true })
  } else {
    console.log('The public API changed: run `npm run api` and commit api/ with the change.')
    process.exitCode = 1
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(freshDir, { recursive: true, force: true })
}
