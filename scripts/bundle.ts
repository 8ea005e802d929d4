/**
 * Bundles the entries of the SDK with esbuild.
 *
 * Dependencies are bundled in: the worker then is one file that loads without a bundler, its bytes
 * are those that were tested, and an application installs nothing else. The two `new URL(…,
 * import.meta.url)` are left as they are, because bundlers recognise exactly that form.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type BuildOptions, build, type Metafile, type OutputFile, type Plugin } from 'esbuild'
import { minify } from 'vite'
import { bundledPackages } from './boundaries.ts'
import { plainDescriptors } from './descriptors.ts'
import { root } from './files.ts'

export interface BuiltFile {
  /** In `dist/`. */
  readonly name: string
  readonly text: string
}

export interface Bundle {
  /** Nothing of it is written yet. */
  readonly files: readonly BuiltFile[]
  /** Folders of the packages that the bundles contain, relative to the checkout. */
  readonly packageFolders: readonly string[]
}

/**
 * Gives `src/inline.ts` what it carries in itself:
 * `import { workerSource, wasmBase64 } from 'padlock:inline'`.
 */
const inlineAssets = (workerSource: string, wasm: Uint8Array): Plugin => ({
  name: 'padlock-inline',
  setup(build) {
    build.onResolve({ filter: /^padlock:inline$/ }, ({ path }) => ({ path, namespace: 'padlock' }))
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
 * Leaves out protobuf's JSON mapping, 8 kB compressed: Padlock speaks binary only, but the RPC
 * library keeps both at hand. So do defaults written as text, which proto3 does not have. A call
 * would throw at once.
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

/** What is loaded only when a contract account turns up: `src/chains/asking.ts` as `dist/chains.js`. */
const askingApart: Plugin = {
  name: 'padlock-asking-apart',
  setup(build) {
    build.onResolve({ filter: /\/asking\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './chains.js', external: true } : undefined,
    )
  },
}

const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  // Licences travel in a file of their own, which is not downloaded.
  legalComments: 'none',
  sourcemap: 'linked',
  metafile: true,
  write: false,
  outdir: 'dist',
  plugins: [binaryOnly, plainDescriptors, askingApart],
  logLevel: 'warning',
} as const satisfies BuildOptions

const mapReference = /\n\/\/# sourceMappingURL=.*\n?$/

const asBuilt = (file: OutputFile): BuiltFile => ({ name: basename(file.path), text: file.text })

const listPackageFolders = (metafile: Metafile): string[] => {
  // What tree shaking left nothing of is not in the bundle.
  const inputs = Object.values(metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) =>
      bytesInOutput > 0 ? path : [],
    ),
  )
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort()
}

const refuseStrangers = (folders: readonly string[]): void => {
  const strangers = folders.filter(
    (folder) => !bundledPackages.includes(folder.replace(/^.*node_modules\//, '')),
  )
  if (strangers.length > 0) {
    throw new Error(`these packages must not end in the bundle: ${strangers.join(', ')}`)
  }
}

/**
 * A second minifier takes 2 kB more, compressed, off the worker, which is most of the JavaScript.
 * The entry stays as esbuild leaves it, because of what bundlers look for in it.
 */
const minifyWorker = async (worker: BuiltFile, map: BuiltFile): Promise<BuiltFile[]> => {
  const { code, map: smaller } = await minify(worker.name, worker.text.replace(mapReference, ''), {
    module: true,
    compress: { target: 'es2022' },
    mangle: true,
    sourcemap: true,
    inputMap: JSON.parse(map.text),
  })
  return [
    { name: worker.name, text: `${code}\n//# sourceMappingURL=${map.name}\n` },
    { name: map.name, text: JSON.stringify(smaller) },
  ]
}

const bundleWorker = async (): Promise<{ files: BuiltFile[]; metafile: Metafile }> => {
  const result = await build({ ...common, entryPoints: ['src/worker.ts'] })
  const [map, worker] = result.outputFiles
    .map(asBuilt)
    .sort((a, b) => b.name.length - a.name.length)
  if (!worker || !map) throw new Error('esbuild did not write the worker and its map')
  return { files: await minifyWorker(worker, map), metafile: result.metafile }
}

/** The wasm file that `scripts/build-wasm.sh` built. */
export const readWasm = (): Uint8Array => {
  const folder = join(root, 'wasm/pkg')
  const name = existsSync(folder)
    ? readdirSync(folder).find((path) => path.endsWith('.wasm'))
    : undefined
  if (name === undefined) throw new Error('wasm/pkg is missing: run `npm run build:wasm` first')
  return readFileSync(join(folder, name))
}

/**
 * Bundles every entry that exists.
 * @throws when esbuild fails, or when a package that does not belong there is pulled in.
 */
export const bundleSdk = async (wasm: Uint8Array): Promise<Bundle> => {
  const worker = await bundleWorker()
  const entry = await build({ ...common, entryPoints: ['src/index.ts'] })
  const chains = await build({ ...common, entryPoints: { chains: 'src/chains/asking.ts' } })
  const files = [worker.files, ...[entry, chains].map((one) => one.outputFiles.map(asBuilt))].flat()
  const metafiles = [worker.metafile, entry.metafile, chains.metafile]

  if (existsSync(join(root, 'src/inline.ts'))) {
    const source = worker.files[0]?.text.replace(mapReference, '') ?? ''
    const plugins = [...common.plugins, inlineAssets(source, wasm)]
    // A map would repeat the worker and the wasm that lie inside.
    const options = { ...common, sourcemap: false, plugins } as const
    const inline = await build({ ...options, entryPoints: ['src/inline.ts'] })
    files.push(...inline.outputFiles.map(asBuilt))
    metafiles.push(inline.metafile)
  }

  const packageFolders = [...new Set(metafiles.flatMap(listPackageFolders))].sort()
  refuseStrangers(packageFolders)
  return { files, packageFolders }
}
