/**
 * Collects the licences of everything that a build contains, as those licences require: the npm
 * packages in the bundles and the Rust crates in the wasm.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './files.ts'
import { run } from './process.ts'

/** A third-party work in a build. */
export interface Part {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly texts: readonly string[]
}

const isLicenceFile = (name: string): boolean => /^(?:licen[cs]e|copying|notice)/i.test(name)

/**
 * If there is a choice of licences, take Apache's: it is Padlock's own, and mostly the same text.
 */
const readLicenceTexts = (folder: string): string[] => {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && isLicenceFile(entry.name))
    .map((entry) => entry.name)
  const apache = names.find((name) => /^licen[cs]e-apache/i.test(name))
  const chosen = apache ? [apache, ...names.filter((name) => /^notice/i.test(name))] : names
  return chosen.map((name) => readFileSync(join(folder, name), 'utf8').trim())
}

/** The text under a README's heading "License". */
const readLicenceSection = (folder: string): string[] => {
  const path = join(folder, 'README.md')
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const section = /^#+ *licen[cs]e *\n([\s\S]*?)(?=^#+ |$(?![\s\S]))/im.exec(text)?.[1]?.trim()
  return section === undefined || !/copyright/i.test(section) ? [] : [section]
}

/** The notices at the top of a package's files, each once; they are comments, `//` or `/* … *\/`. */
const readNotices = (folder: string): string[] => {
  const scripts = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?js$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
  const tops = scripts.map(
    (text) => /^(?:"use strict";\s*)?((?:\/\/.*\n)+|\/\*[\s\S]*?\*\/)/.exec(text)?.[1] ?? '',
  )
  const notices = tops
    .filter((top) => /copyright/i.test(top))
    .map((top) => top.replaceAll(/^ ?(?:\/\/|\/?\*+\/?) ?/gm, '').trim())
  return [...new Set(notices)].sort()
}

/**
 * Reads npm packages, by their folders in the checkout. If one has no licence file, its README or
 * the notices in its files have the text.
 * @throws Error for a package without any licence text.
 */
export const readNpmPackages = (folders: readonly string[]): Part[] =>
  folders.map((relative) => {
    const folder = join(root, relative)
    const manifest: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const { name, version, license } = manifest as Record<string, string>
    const found = [readLicenceTexts, readLicenceSection, readNotices]
    const texts = found.map((read) => read(folder)).find(({ length }) => length > 0)
    if (texts === undefined) throw new Error(`${relative} has no licence text`)
    return { name: name ?? relative, version: version ?? '', licence: license ?? 'unknown', texts }
  })

interface CargoMetadata {
  readonly packages: readonly {
    id: string
    name: string
    version: string
    license: string | null
    source: string | null
    manifest_path: string
    targets: readonly { kind: readonly string[] }[]
  }[]
  readonly resolve: {
    root: string
    nodes: readonly {
      id: string
      deps: readonly { pkg: string; dep_kinds: readonly { kind: string | null }[] }[]
    }[]
  }
}

/** The linked crates, without those that only build scripts, macros or tests use. */
export const readCrates = async (): Promise<Part[]> => {
  const { code, stdout, output } = await run(
    'cargo',
    ['metadata', '--format-version=1', '--locked', '--filter-platform=wasm32-unknown-unknown'],
    { cwd: join(root, 'wasm'), output: 'collect' },
  )
  if (code !== 0) throw new Error(`cargo metadata failed\n${output.trimEnd()}`)
  const metadata: CargoMetadata = JSON.parse(stdout)
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]))
  const macros = new Set(
    metadata.packages
      .filter(({ targets }) => targets.some(({ kind }) => kind.includes('proc-macro')))
      .map(({ id }) => id),
  )
  const linked = new Set<string>()
  const waiting = [metadata.resolve.root]
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (linked.has(id) || macros.has(id)) continue
    linked.add(id)
    for (const { pkg, dep_kinds: kinds } of nodes.get(id)?.deps ?? []) {
      if (kinds.some(({ kind }) => kind === null)) waiting.push(pkg)
    }
  }
  return metadata.packages
    .filter(({ id, source }) => linked.has(id) && source !== null)
    .map((crate) => ({
      name: crate.name,
      version: crate.version,
      licence: crate.license ?? 'unknown',
      texts: readLicenceTexts(dirname(crate.manifest_path)),
    }))
}

/**
 * Returns one text: the works in a package's build with their licences, then every licence text
 * once.
 */
export const describeLicences = (packageName: string, parts: readonly Part[]): string => {
  const sorted = [...parts].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const usersOf = new Map<string, string[]>()
  for (const part of sorted) {
    for (const text of part.texts) {
      usersOf.set(text, [...(usersOf.get(text) ?? []), `${part.name} ${part.version}`])
    }
  }
  const list = sorted.map(({ name, version, licence }) => `${name} ${version}: ${licence}`)
  const texts = [...usersOf].map(([text, users]) => `${users.join('\n')}\n\n${text}`)
  const head = `${packageName} contains these third-party works, each under its own licence.\n\n${list.join('\n')}`
  return `${[head, ...texts].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}
