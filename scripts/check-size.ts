/** Compares what a browser loads first, compressed as a server would send it, with the budget. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { root } from './files.ts'

/** docs/architecture.md section 7, first load of JavaScript and wasm, in bytes. */
const budgetBytes = 220_000

const firstLoad = ['dist/index.js', 'dist/worker.js', 'dist/padlock.wasm']

const missing = firstLoad.filter((path) => !existsSync(join(root, path)))
if (missing.length > 0) {
  console.log(`${missing.join(' and ')} missing: run \`npm run build\` first`)
  process.exit(1)
}

const weigh = (path: string): { path: string; plain: number; brotli: number } => {
  const bytes = readFileSync(join(root, path))
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  }
  return { path, plain: bytes.length, brotli: brotliCompressSync(bytes, { params }).length }
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`.padStart(10)

let total = 0
for (const { path, plain, brotli } of firstLoad.map(weigh)) {
  total += brotli
  console.log(`${path.padEnd(20)}${kilobytes(plain)}${kilobytes(brotli)} with brotli`)
}
const verdict = total <= budgetBytes ? 'within' : 'over'
console.log(`${'first load'.padEnd(30)}${kilobytes(total)} ${verdict} the${kilobytes(budgetBytes)}`)
process.exit(total <= budgetBytes ? 0 : 1)
