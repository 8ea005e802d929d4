/**
 * Bundles the entries of the SDK with esbuild.
 *
 * Dependencies are bundled in: the worker is then one file that loads without a bundler, its bytes
 * are the tested ones, and an application installs nothing else. The two
 * `new URL(…, import.meta.url)` stay as they are, because bundlers recognise exactly that form.
 * There are no source maps: they would be two thirds of the package, and no bundler needs them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type BuildOptions, build, type OutputFile, type Plugin } from 'esbuild'
import { minify } from 'vite'
import { packagesOfSdk } from './boundaries.ts'
import { listPackageFolders, refuseStrangers } from './bundled-packages.ts'
import { plainDescriptors } from './descriptors.ts'
import { root } from './files.ts'

export interface BuiltFile {
  /** In `dist/`. */
  readonly name: string
  readonly text: string
}

export interface Bundle {
  /** Not written yet. */
  readonly files: readonly BuiltFile[]
  readonly wasm: Uint8Array
  /** Folders of the packages that the bundles contain, relative to the checkout. */
  readonly packageFolders: readonly string[]
}

/**
 * Provides what `src/embedded.ts` embeds:
 * `import { workerSource, wasmBase64 } from 'padlock:embedded'`.
 */
const embeddedFiles = (workerSource: string, wasm: Uint8Array): Plugin => ({
  name: 'padlock-embedded',
  setup(build) {
    build.onResolve({ filter: /^padlock:embedded$/ }, ({ path }) => ({
      path,
      namespace: 'padlock',
    }))
    build.onLoad({ filter: /.*/, namespace: 'padlock' }, () => ({
      contents: `export const workerSource = ${JSON.stringify(workerSource)}
export const wasmBase64 = ${JSON.stringify(Buffer.from(wasm).toString('base64'))}`,
    }))
  },
})

const refusing = (exported: readonly string[]): string =>
  `const refuse = () => { throw new Error('protobuf text is not part of this build') }
${exported.map((name) => `export { refuse as ${name} }`).join('\n')}`

/**
 * Leaves out protobuf's JSON mapping, 8 kB compressed: Padlock uses only the binary form, but the
 * RPC library imports both. Also leaves out defaults written as text, which proto3 does not have. A
 * call would throw at once.
 */
const binaryOnly: Plugin = {
  name: 'padlock-binary-only',
  setup(build) {
    const filter =
      /@bufbuild[\\/]protobuf[\\/]dist[\\/]esm[\\/](?:(?:to|from)-json|wire[\\/]text-format)\.js$/
    build.onLoad({ filter }, ({ path }) => {
      const names = readFileSync(path, 'utf8').matchAll(/^export function (\w+)/gm)
      return { contents: refusing([...names].map(([, name = '']) => name)) }
    })
  },
}

/** Entries of the bundle that other entries load; they stay separate files. */
const apart: Plugin = {
  name: 'padlock-apart',
  setup(build) {
    // Loaded only when a contract account turns up: `src/chains/asking.ts` as `dist/chains.js`.
    build.onResolve({ filter: /\/asking\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './chains.js', external: true } : undefined,
    )
    build.onResolve({ filter: /\/embedded\.ts$/ }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: './embedded.js', external: true },
    )
  },
}

/**
 * The README names them: module workers set Firefox's version, the bundlers' own defaults the
 * others.
 */
export const oldestBrowsers = ['chrome111', 'firefox114', 'safari16.4'] as const

const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: [...oldestBrowsers],
  minify: true,
  // Licences go into a separate file, which is not downloaded.
  legalComments: 'none',
  metafile: true,
  write: false,
  outdir: 'dist',
  // Parcel finds it and would replace it with a package that is not installed.
  define: { process: 'undefined' },
  plugins: [binaryOnly, plainDescriptors, apart],
  logLevel: 'warning',
} as const satisfies BuildOptions

const asBuilt = ({ path, text }: OutputFile): BuiltFile => {
  const name = basename(path)
  return { name: name === 'asking.js' ? 'chains.js' : name, text }
}

/** A second minifier takes 2 kB more, compressed, off what a browser loads first. */
const minifyMore = async ({ name, text }: BuiltFile): Promise<BuiltFile> => {
  const compress = { target: [...oldestBrowsers] }
  const { code } = await minify(name, text, { module: true, compress, mangle: true })
  // It writes strings as templates, where bundlers do not see the files that the entry names.
  return { name, text: `${code.replaceAll(/`(\.\/[\w.]+)`/g, '"$1"')}\n` }
}

/** The wasm file that `scripts/build-wasm.sh` built, with its release added. */
const readWasm = (release: string): Uint8Array => {
  const folder = join(root, 'wasm/pkg')
  const name = existsSync(folder)
    ? readdirSync(folder).find((path) => path.endsWith('.wasm'))
    : undefined
  if (name === undefined) throw new Error('wasm/pkg is missing: run `npm run build:wasm` first')
  return Buffer.concat([readFileSync(join(folder, name)), releaseSection(release)])
}

/** A custom section, which engines ignore (wasm spec, 5.5.3): id 0, size, name and text. */
const releaseSection = (release: string): Uint8Array => {
  const name = Buffer.from('padlock.release')
  const body = Buffer.concat([Buffer.of(name.length), name, Buffer.from(release)])
  // Each length fits one byte of LEB128.
  if (body.length > 127) throw new Error(`the release ${release} is too long`)
  return Buffer.concat([Buffer.of(0, body.length), body])
}

/**
 * Bundles every entry.
 *
 * @param release the files compare it: see src/release.ts.
 * @throws when esbuild fails, or when the bundle contains a package that it must not.
 */
export const bundleSdk = async (release: string): Promise<Bundle> => {
  const define = { ...common.define, PADLOCK_RELEASE: JSON.stringify(release) }
  const bundle = async (entry: string, plugins: readonly Plugin[] = []) => {
    const options = { ...common, define, plugins: [...common.plugins, ...plugins] }
    const { outputFiles, metafile } = await build({ ...options, entryPoints: [`src/${entry}`] })
    const [file] = outputFiles
    if (!file) throw new Error(`esbuild wrote nothing for ${entry}`)
    return { file: asBuilt(file), metafile }
  }
  const worker = await bundle('worker.ts')
  const smaller = await minifyMore(worker.file)
  const wasm = readWasm(release)
  const index = await bundle('index.ts')
  const others = await Promise.all([
    bundle('inline.ts'),
    bundle('embedded.ts', [embeddedFiles(smaller.text, wasm)]),
    bundle('chains/asking.ts'),
  ])
  const files = [smaller, await minifyMore(index.file), ...others.map(({ file }) => file)]
  const outputs = [worker, index, ...others].flatMap(({ metafile }) =>
    Object.values(metafile.outputs),
  )
  const packageFolders = listPackageFolders(outputs)
  refuseStrangers(packageFolders, packagesOfSdk)
  return { files, wasm, packageFolders }
}
