/** Every import of the sources: which file names which, and whether only for types. */
import { readFileSync } from 'node:fs'
import { extname, join, posix } from 'node:path'
import { parseSync } from 'vite'
import { listSourceFiles, root } from './files.ts'

/** One import, with paths relative to the checkout. */
export interface Import {
  readonly from: string
  /** A file of the checkout, or what the import says of a package. */
  readonly to: string
  readonly isPackage: boolean
  /** Leaves nothing in what is built. */
  readonly typeOnly: boolean
  readonly line: number
}

interface Reference {
  readonly specifier: string
  readonly offset: number
  readonly typeOnly: boolean
}

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null

/** Where a syntax node names a module: static and dynamic imports, re-exports and `import('…')` types. */
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

/** Whether a path can hold imports. */
export const isScript = (path: string): boolean =>
  ['.ts', '.tsx', '.mts', '.js', '.mjs'].includes(extname(path))

/** All imports of the checkout, and what could not be parsed. */
export const readImports = (): { readonly imports: Import[]; readonly problems: string[] } => {
  const imports: Import[] = []
  const problems: string[] = []
  for (const from of listSourceFiles().filter(isScript)) {
    const text = readFileSync(join(root, from), 'utf8')
    const parsed = parseSync(from, text)
    for (const error of parsed.errors) problems.push(`${from}: ${error.message}`)
    const references: Reference[] = []
    collectReferences(parsed.program, references)
    for (const { specifier, offset, typeOnly } of references) {
      const isPackage = !specifier.startsWith('.')
      const to = isPackage ? specifier : posix.join(posix.dirname(from), specifier)
      const line = text.slice(0, offset).split('\n').length
      imports.push({ from, to, isPackage, typeOnly, line })
    }
  }
  return { imports, problems }
}
