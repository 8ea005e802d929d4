/**
 * Asks boundaries.ts of every import of the sources whether it may be; Biome looks for circles.
 * Packages are checked too: `src/` uses few, each in its module, and `node/` only what its
 * package.json lists.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { judgeImport, judgePackage } from './boundaries.ts'
import { root } from './files.ts'
import { readImports } from './imports.ts'

/** The packages installed with the node, and those bundled into it. */
const readPackages = (manifest: string): ReadonlySet<string> => {
  const parsed: unknown = JSON.parse(readFileSync(join(root, manifest), 'utf8'))
  if (typeof parsed !== 'object' || parsed === null) return new Set()
  const lists = ['dependencies', 'devDependencies'].map((name) => Reflect.get(parsed, name) ?? {})
  return new Set(lists.flatMap((list) => Object.keys(list)))
}

const ofNode = readPackages('node/package.json')
const { imports, problems } = readImports()
for (const found of imports) {
  const problem = found.isPackage
    ? judgePackage(found.from, found.to, found.typeOnly, ofNode)
    : judgeImport(found)
  if (problem !== undefined) problems.push(`${found.from}:${found.line}: ${problem}`)
}

for (const problem of problems) console.log(problem)
console.log(`${imports.length} imports, ${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
