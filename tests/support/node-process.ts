/** A real node in a process of its own, on a folder that survives it, behind a relay that can be cut. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProxy } from './proxy.ts'

const main = fileURLToPath(new URL('../../node/src/main.ts', import.meta.url))

export interface NodeProcess {
  /** The relay's address: the same for all lives of the node. */
  readonly url: string
  /** The folder that it keeps everything in. */
  readonly data: string
  start(): Promise<void>
  /** SIGKILL, as a crash; what was acknowledged is on disk. */
  kill(): Promise<void>
  /** Ends every open connection once. */
  cut(): void
  close(): Promise<void>
}

export const startNodeProcess = async (): Promise<NodeProcess> => {
  const data = await mkdtemp(join(tmpdir(), 'padlock-node-'))
  const proxy = await startProxy()
  let child: ChildProcess | undefined
  const start = async () => {
    const started = spawn(process.execPath, [main, '--data', data, '--port', '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child = started
    proxy.target(await readPort(started))
  }
  const kill = async () => {
    proxy.target(undefined)
    proxy.cut()
    const ending = child
    child = undefined
    if (!ending || ending.exitCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    url: proxy.url,
    data,
    start,
    kill,
    cut: proxy.cut,
    close: async () => {
      await kill()
      await proxy.close()
      await rm(data, { recursive: true, force: true })
    },
  }
}

/** The port in the line that the node prints when it listens. */
const readPort = async (child: ChildProcess): Promise<number> => {
  let printed = ''
  for await (const chunk of child.stdout ?? []) {
    printed += String(chunk)
    const port = /http:\/\/[\d.]+:(\d+)/.exec(printed)?.[1]
    if (port) return Number(port)
  }
  throw new Error(`the node ended before it listened: ${printed}`)
}
