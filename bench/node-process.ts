/** A real node for a run: `padlock-node` from its sources, in its own process and folder. */

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface NodeProcess {
  readonly url: string
  close(): Promise<void>
}

/** @throws Error if it ends before it listens. */
export const startNodeProcess = async (): Promise<NodeProcess> => {
  const data = await mkdtemp(join(tmpdir(), 'padlock-bench-node-'))
  const main = new URL('../node/src/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [main, '--data', data, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  // Also if the bench itself fails or is stopped.
  process.once('exit', () => child.kill())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^listening\s+(\S+)/.exec(line)?.[1]
      if (found !== undefined) resolve(found)
    })
    void exited.then(() => reject(new Error('the node did not start')))
  })
  return {
    url,
    close: async () => {
      child.kill('SIGTERM')
      await exited
      await rm(data, { recursive: true, force: true })
    },
  }
}
