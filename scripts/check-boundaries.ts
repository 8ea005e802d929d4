/**
 * Checks every import of the sources against boundaries.ts. Packages too: `src/` uses few, each in
 * its layer, and `node/` only what its package.json lists.
 */
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync } from 'vite'
import { isScript, judgeImport, judgePackage } from './boundaries.ts'
import { listSourceFiles, root } from './files.ts'

interface Reference {
  readonly specifier: string
  readonly offset: number
  readonly typeOnly: boolean
}

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null

/**
 * The module that a syntax node names: static and dynamic imports, re-exports and `import('…')`
 * types.
 */
const readReference = (node: Node): Reference | undefined => {
  const { type, source, start } = node
  if (typeof type !== 'string' || typeof start !== 'number') return undefined
  const isTypeImport = type === 'TSImportType'
  if (!isTypeImport && !/^(Import|ExportNamed|ExportAll)(Declaration|Expression)$/.test(type)) {
    return undefined
  }
  if (!isNode(source) || typeof source.value !== 'string') return undefined
  const typeOnly = isTypeImport || node.importKind === 'type' || node.exportKind === 'type'
  return { specifier: source.value, offset: start, typeOnly }
}

const collectReferences = (value: unknown, found: Reference[]): void => {
  if (Array.isArray(value)) {
    for (const item of value) collectReferences(item, found)
  } else if (isNode(value)) {
    const reference = readReference(value)
    if (reference) found.push(reference)
    for (const child of Object.values(value)) collectReferences(child, found)
  }
}

/** The packages installed with the node, and those bundled into it. */
const readPackages = (manifest: string): ReadonlySet<string> => {
  const parsed: unknown = JSON.parse(readFileSync(join(root, manifest), 'utf8'))
  const lists = isNode(parsed) ? [parsed.dependencies, parsed.devDependencies] : []
  return new Set(lists.filter(isNode).flatMap((list) => Object.keys(list)))
}

const ofNode = readPackages('node/package.json')

let imports = 0
const problems: string[] = []
for (const path of listSourceFiles().filter(isScript)) {
  const text = readFileSync(join(root, path), 'utf8')
  const parsed = parseSync(path, text)
  for (const error of parsed.errors) problems.push(`${path}: ${error.message}`)
  const references: Reference[] = []
  collectReferences(parsed.program, references)
  for (const { specifier, offset, typeOnly } of references) {
    imports += 1
    const problem = specifier.startsWith('.')
      ? judgeImport({ from: path, to: posix.join(posix.dirname(path), specifier), typeOnly })
      : judgePackage(path, specifier, typeOnly, ofNode)
    const line = text.slice(0, offset).split('\n').length
    if (problem !== undefined) problems.push(`${path}:${line}: ${problem}`)
  }
}

for (const problem of problems) console.log(problem)
console.log(`${imports} imports, ${problems.length} of them forbidden`)
process.exit(problems.length === 0 ? 0 : 1)
