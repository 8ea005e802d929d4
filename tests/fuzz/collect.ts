/**
 * Loaded before a fuzzed node: when its parent asks, it collects garbage and answers with the bytes
 * still in use. The process's size says less: a process keeps what it freed.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

process.on('message', async () => {
  let held = Number.POSITIVE_INFINITY
  // Buffers are given back in the background.
  for (let round = 0; round < 5; round += 1) {
    collect()
    await turn()
    const { heapUsed, external } = process.memoryUsage()
    held = Math.min(held, heapUsed + external)
  }
  process.send?.(held)
})
// Whoever started it is gone, and nobody else knows of it.
process.on('disconnect', () => process.exit(1))
// It ends as it would without this.
process.channel?.unref()
