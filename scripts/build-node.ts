/**
 * Bundles the command of padlock-node and its database thread into node/dist, with what they use of
 * their packages. Node strips no types below node_modules, so what is installed must be JavaScript;
 * and of the hundred megabytes that the packages are, one is used. Only what is native stays outside,
 * as a dependency.
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

// pg looks for pg-native, and goes on without.
const outside = [...Object.keys(packageJson.dependencies), 'pg-native']

// What only code that is left out would load: esbuild would write it all the same.
const unused = ['@noble/curves/secp256k1', 'isows']

const dist = join(root, 'node/dist')
rmSync(dist, { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['node/src/main.ts', 'node/src/store/database-worker.ts'],
  // The thread is looked for beside the command.
  entryNames: '[name]',
  // What is loaded only when it is needed, and what both share, stands beside them.
  splitting: true,
  chunkNames: '[name]-[hash]',
  outdir: dist,
  bundle: true,
  external: [...outside, ...unused],
  platform: 'node',
  format: 'esm',
  target: 'node22.16',
  charset: 'utf8',
  // Packages in CommonJS ask for Node's own modules by `require`.
  banner: {
    js: [
      "import { createRequire as createRequireHere } from 'node:module'",
      'const require = createRequireHere(import.meta.url)',
    ].join('\n'),
  },
  // Licences travel in a file of their own.
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
