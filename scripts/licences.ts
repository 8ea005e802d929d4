/**
 * Collects the licences of everything that a build contains, as those licences ask:
 * the npm packages in the bundles and the Rust crates in the wasm.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './files.ts'
import { run } from './process.ts'

interface Part {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly texts: readonly string[]
}

const isLicenceFile = (name: string): boolean => /^(?:licen[cs]e|copying|notice)/i.test(name)

/** Of licences to choose from, Apache's is taken: it is Padlock's own, and mostly the same text. */
const readLicenceTexts = (folder: string): string[] => {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && isLicenceFile(entry.name))
    .map((entry) => entry.name)
  const apache = names.find((name) => /^licen[cs]e-apache/i.test(name))
  const chosen = apache ? [apache, ...names.filter((name) => /^notice/i.test(name))] : names
  return chosen.map((name) => readFileSync(join(folder, name), 'utf8').trim())
}

const readNpmPackage = (folder: string): Part => {
  const manifest: unknown = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  const { name, version, license } = manifest as Record<string, string>
  return {
    name: name ?? folder,
    version: version ?? '',
    licence: license ?? 'unknown',
    texts: readLicenceTexts(join(root, folder)),
  }
}

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

/** The crates that are linked: not those that only build scripts, macros or tests use. */
const readCrates = async (): Promise<Part[]> => {
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

/** Returns one text: who is in the build and under what, then every licence text once. */
export const collectLicences = async (packageFolders: readonly string[]): Promise<string> => {
  const parts = [...packageFolders.map(readNpmPackage), ...(await readCrates())]
  parts.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const usersOf = new Map<string, string[]>()
  for (const part of parts) {
    for (const text of part.texts) {
      usersOf.set(text, [...(usersOf.get(text) ?? []), `${part.name} ${part.version}`])
    }
  }
  const list = parts.map(({ name, version, licence }) => `${name} ${version}: ${licence}`)
  const texts = [...usersOf].map(([text, users]) => `${users.join('\n')}\n\n${text}`)
  const head = `padlock-sdk contains these works of others, each under its own licence.\n\n${list.join('\n')}`
  return `${[head, ...texts].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}
