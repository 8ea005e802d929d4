/**
 * Generates the TypeScript of proto/ again, elsewhere, and compares it with src/gen byte for byte.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir, root } from './files.ts'
import { run } from './process.ts'

const readTree = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]),
  )

const generate = async (outDir: string): Promise<boolean> => {
  const args = ['generate', '--output', outDir]
  const { code, output } = await run('buf', args, { cwd: root, output: 'collect' })
  if (code !== 0) console.log(output.trimEnd())
  return code === 0
}

const compare = (outDir: string): boolean => {
  const wanted = readTree(join(outDir, 'src/gen'))
  const present = readTree(join(root, 'src/gen'))
  const differing = [...new Set([...wanted.keys(), ...present.keys()])]
    .filter((path) => wanted.get(path) !== present.get(path))
    .sort()
  for (const path of differing) console.log(`src/gen/${path} is not what proto/ generates`)
  if (differing.length > 0) console.log('run `npm run generate` and commit what it writes')
  else console.log(`${present.size} generated files are up to date`)
  return differing.length === 0
}

mkdirSync(cacheDir, { recursive: true })
const outDir = mkdtempSync(join(cacheDir, 'gen-'))
const upToDate = (await generate(outDir)) && compare(outDir)
rmSync(outDir, { recursive: true, force: true })
process.exit(upToDate ? 0 : 1)
