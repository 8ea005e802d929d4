/**
 * Bundles the command and its database thread into dist/, dependencies left out: Node strips no types
 * below node_modules, so what is installed must be JavaScript.
 */
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('.', import.meta.url))

rmSync(new URL('./dist', import.meta.url), { recursive: true, force: true })
await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts', 'src/store/database-worker.ts'],
  // The thread is looked for beside the command.
  entryNames: '[name]',
  // What is loaded only when it is needed, and what both share, stands beside them.
  splitting: true,
  chunkNames: '[name]-[hash]',
  outdir: 'dist',
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node22.16',
  charset: 'utf8',
})
