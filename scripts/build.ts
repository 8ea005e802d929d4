/**
 * Builds what is published: `dist/` of padlock-sdk, then `node/dist` of padlock-node. Does nothing
 * if no input has changed; `--force` builds anyway. A new dist/ is built elsewhere and moved into
 * place at once, so that nobody reads half of one.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bundleSdk } from './bundle.ts'
import { makeDeclarations } from './declarations.ts'
import { cacheDir, listFilesBelow, listSourceFiles, root } from './files.ts'
import { describeLicences, readCrates, readNpmPackages } from './licences.ts'
import { run } from './process.ts'

const outputs = [
  'dist/index.js',
  'dist/worker.js',
  'dist/chains.js',
  'dist/embedded.js',
  'dist/inline.js',
  'dist/padlock.wasm',
  'dist/types/index.d.ts',
]

const isInput = (path: string): boolean =>
  /^(?:src|node|scripts|wasm)\//.test(path) || /^[^/]*\.json$/.test(path)

/** The inputs of the SDK's own files. */
const isSdkInput = (path: string): boolean =>
  /^(?:src\/|wasm\/pkg\/|package(?:-lock)?\.json$)/.test(path)

const hashFiles = (paths: readonly string[]): string => {
  const hash = createHash('sha256')
  for (const path of paths) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update('\0')
  }
  return hash.digest('hex')
}

const inputs = [...listSourceFiles(), ...listFilesBelow('wasm/pkg')]

/** Version and a digest of the inputs, the same in every checkout. */
const readRelease = (): string => {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  )
  return `${version}+${hashFiles(inputs.filter(isSdkInput)).slice(0, 12)}`
}

const hasNodeBuild = (): boolean =>
  readFileSync(join(root, 'node/package.json'), 'utf8').includes('"build"')

const buildSdk = async (): Promise<void> => {
  const workDir = mkdtempSync(join(cacheDir, 'build-'))
  try {
    const fresh = join(workDir, 'dist')
    mkdirSync(fresh)
    const { files, wasm, packageFolders } = await bundleSdk(readRelease())
    for (const { name, text } of files) writeFileSync(join(fresh, name), text)
    writeFileSync(join(fresh, 'padlock.wasm'), wasm)
    const parts = [...readNpmPackages(packageFolders), ...(await readCrates())]
    const licences = describeLicences('padlock-sdk', parts)
    writeFileSync(join(fresh, 'THIRD-PARTY-LICENSES.txt'), licences)
    mkdirSync(join(fresh, 'types'))
    for (const [entry, { declarations }] of await makeDeclarations()) {
      writeFileSync(join(fresh, `types/${entry}.d.ts`), declarations)
    }

    const target = join(root, 'dist')
    if (existsSync(target)) renameSync(target, join(workDir, 'old'))
    renameSync(fresh, target)
  } finally {
    rmSync(workDir, { recursive: true, force: true })
  }
}

const buildNode = async (): Promise<void> => {
  const { code } = await run('npm', ['run', 'build', '-w', 'node', '--silent'], { cwd: root })
  if (code !== 0) throw new Error('padlock-node does not build')
}

mkdirSync(cacheDir, { recursive: true })
const stampPath = join(cacheDir, 'build.sha256')
const stamp = existsSync(stampPath) ? readFileSync(stampPath, 'utf8') : ''
const wanted = hashFiles(inputs.filter(isInput))
const expected = hasNodeBuild() ? [...outputs, 'node/dist/main.js'] : outputs
const isBuilt = stamp === wanted && expected.every((path) => existsSync(join(root, path)))

if (isBuilt && !process.argv.includes('--force')) {
  console.log('dist is up to date')
} else {
  try {
    await buildSdk()
    if (hasNodeBuild()) await buildNode()
    writeFileSync(stampPath, wanted)
    console.log('built dist and node/dist')
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  }
}
