/** What a page must fetch and start before it is usable. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { root } from '../../scripts/files.ts'
import type { Row } from '../figures.ts'
import type { Stage } from '../stage.ts'

const compressedKb = (paths: readonly string[]): number => {
  const sizes = paths.map((path) => {
    const bytes = readFileSync(join(root, path))
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    }
    return brotliCompressSync(bytes, { params }).length
  })
  return sizes.reduce((sum, size) => sum + size, 0) / 1_000
}

export const measureSize = (): Row => {
  const olm = ['olm.js', 'olm.wasm'].map((name) => `node_modules/@matrix-org/olm/${name}`)
  const ours = compressedKb(['dist/index.js', 'dist/worker.js', 'dist/padlock.wasm'])
  return {
    what: 'first load, JS + wasm, brotli 11',
    unit: 'kB',
    ours: [ours],
    limit: 220,
    note: `libolm ${compressedKb(olm).toFixed(0)} kB, without a network or a database`,
  }
}

/** In a new Worker each time, nothing cached: fetch, evaluate, compile, first call of the wasm. */
export const measureLoad = async ({ browser }: Stage, rounds: number): Promise<Row> => {
  const ours: number[] = []
  const reference: number[] = []
  for (let round = 0; round < rounds; round++) {
    reference.push(await browser.page.evaluate(() => bench.load('olm')))
    ours.push(await browser.page.evaluate(() => bench.load('padlock')))
  }
  return { what: 'load JS + wasm', unit: 'ms', ours, reference, limit: 1.2 }
}

/** From nothing until `createClient` answers, on an account with ten sessions; both have their script. */
export const measureReopening = async (
  { browser, node }: Stage,
  address: string,
  database: string,
  rounds: number,
): Promise<Row> => {
  const { page } = browser
  const ours: number[] = []
  const reference: number[] = []
  await page.evaluate(async () => {
    await bench.openBare()
    await bench.askBare({ kind: 'prepare' })
    bench.closeBare()
  })
  for (let round = 0; round < rounds; round++) {
    reference.push(
      await page.evaluate(async () => {
        const ms = await bench.openBare()
        bench.closeBare()
        return ms
      }),
    )
    const { createdMs } = await page.evaluate((options) => bench.open(options), {
      node: node.url,
      address,
      database,
    })
    ours.push(createdMs)
    await page.evaluate((name) => bench.close(name), database)
  }
  const what = 'Worker, load, reopen the store, usable client'
  return { what, unit: 'ms', ours, reference, limit: 1.1 }
}
