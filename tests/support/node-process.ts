/** A real node in a process of its own, on a folder that survives it, behind a relay that can be cut. */
import { type ChildProcess, spawn } from 'node:child_process'
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
  let running: SpawnedNode | undefined
  const start = async () => {
    running = spawnNode(['--data', data, '--port', '0'])
    running.child.stderr?.pipe(process.stderr, { end: false })
    proxy.target(await running.listening)
  }
  const kill = async () => {
    proxy.target(undefined)
    proxy.cut()
    running?.child.kill('SIGKILL')
    await running?.ended
    running = undefined
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

/** A node's process itself, without a relay. */
export interface SpawnedNode {
  readonly child: ChildProcess
  /** Its port, once it listens; rejects if it ends before. */
  readonly listening: Promise<number>
  /** Its exit code; null if a signal ended it. */
  readonly ended: Promise<number | null>
  /** The last of what it wrote to standard error. */
  errors(): string
}

export interface SpawnOptions {
  /** Another entry than the sources. */
  readonly main?: string
  /** A command that starts the node, as setpriv does, and its own arguments. */
  readonly through?: readonly string[]
}

const alive = new Set<ChildProcess>()
// Whoever ends early leaves no node behind.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Starts a node with these arguments. */
export const spawnNode = (args: readonly string[], options: SpawnOptions = {}): SpawnedNode => {
  const words = [...(options.through ?? []), process.execPath, options.main ?? main, ...args]
  const [command = '', ...rest] = words
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  alive.add(child)
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors = (errors + String(chunk)).slice(-4096)
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      alive.delete(child)
      resolve(code)
    })
  })
  const listening = readPort(child).catch((error: Error) => {
    throw new Error(`${error.message}${errors}`)
  })
  // Who kills it before it listens does not wait for it.
  listening.catch(() => {})
  return { child, listening, ended, errors: () => errors }
}

/** The port in the line that the node prints when it listens. */
const readPort = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    let printed = ''
    // Read to its end, or the node would wait for room to write.
    child.stdout?.on('data', (chunk) => {
      printed = (printed + String(chunk)).slice(-4096)
      const port = /http:\/\/[\d.]+:(\d+)/.exec(printed)?.[1]
      if (port) resolve(Number(port))
    })
    child.once('close', () => {
      reject(new Error(`the node ended before it listened: ${printed}`))
    })
  })
