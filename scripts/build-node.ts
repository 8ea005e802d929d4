/**
 * Bundles the command of padlock-node and its database thread into node/dist, with the code that
 * they use from packages. Node strips no types below node_modules, so what is installed must be
 * JavaScript; and they use one of the packages' hundred megabytes. Only native packages stay
 * outside, as dependencies.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import packageJson from '../node/package.json' with { type: 'json' }
import { partsOfNodePackages } from './boundaries.ts'
import { listPackageFolders, refuseStrangers } from './bundled-packages.ts'
import { root } from './files.ts'
import { describeLicences, readNpmPackages } from './licences.ts'

// pg looks for pg-native, and works without it.
const outside = [...Object.keys(packageJson.dependencies), 'pg-native']

// Loaded only by code that is left out: esbuild would write it all the same.
const unused = ['@noble/curves/secp256k1', 'isows']

const dist = join(root, 'node/dist')
rmSync(dist, { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['node/src/main.ts', 'node/src/store/database-worker.ts'],
  // The command looks for the thread beside itself.
  entryNames: '[name]',
  // Code that both share or that is loaded on demand goes beside them.
  splitting: true,
  chunkNames: '[name]-[hash]',
  outdir: dist,
  bundle: true,
  external: [...outside, ...unused],
  platform: 'node',
  format: 'esm',
  target: 'node22.16',
  charset: 'utf8',
  // CommonJS packages load Node's own modules with `require`.
  banner: {
    js: [
      "import { createRequire as createRequireHere } from 'node:module'",
      'const require = createRequireHere(import.meta.url)',
    ].join('\n'),
  },
  // Licences go into a separate file.
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
})

const outputs = Object.values(metafile.outputs)
const packageFolders = listPackageFolders(outputs)
refuseStrangers(packageFolders, [
  ...Object.keys(packageJson.devDependencies),
  ...partsOfNodePackages,
])
const missing = outputs
  .flatMap(({ imports }) => imports.filter(({ external }) => external).map(({ path }) => path))
  .filter((path) => !isBuiltin(path) && !outside.includes(path))
if (missing.length > 0) throw new Error(`nothing would install these: ${missing.join(', ')}`)

const licences = describeLicences(packageJson.name, readNpmPackages(packageFolders))
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), licences)
