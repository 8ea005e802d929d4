/** The node in its own process: what it prints and how much memory it takes. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../node/src/main.ts', import.meta.url))
const collect = new URL('./collect.ts', import.meta.url).href

export interface FuzzNode {
  readonly url: string
  /** Whether the process is there. */
  readonly alive: boolean
  /** Everything that it printed. */
  readonly output: string
  /** Its resident memory in MiB. */
  memory(): number
  /** What it refers to, in MiB: of its memory the part that a leak makes larger. */
  held(): Promise<number>
  /** How long it kept a processor busy, in milliseconds. */
  busyMs(): number
  close(): Promise<void>
}

export interface FuzzNodeOptions {
  readonly args?: readonly string[]
  /** A PostgreSQL database instead of a folder. */
  readonly database?: string
  /** Open files and connections that the process may have. */
  readonly descriptors?: number
}

function residentKiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    // No /proc here; ps counts in KiB everywhere.
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`], { encoding: 'utf8' }))
  }
}

function busyMsOf(pid: number): number {
  try {
    // Behind the name in brackets: user time is the 12th field, system time the 13th, in ticks of 10 ms.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    const time = execFileSync('ps', ['-o', 'time=', '-p', `${pid}`], { encoding: 'utf8' })
    return time.split(/[:-]/).reduce((sum, part) => sum * 60 + Number(part), 0) * 1_000
  }
}

/** Starts a node on a fresh folder; resolves when it listens. */
export async function startFuzzNode(options: FuzzNodeOptions = {}): Promise<FuzzNode> {
  const { args = [], descriptors, database } = options
  const data = await mkdtemp(join(tmpdir(), 'padlock-fuzz-'))
  const command = [process.execPath, '--import', collect, main, '--port', '0']
  // `exec` keeps the process id, and with it what is measured, the node's own.
  const limited = ['sh', '-c', `ulimit -n ${descriptors} && exec "$@"`, 'sh', ...command, ...args]
  const [program = '', ...rest] = descriptors === undefined ? [...command, ...args] : limited
  const where = database === undefined ? { PADLOCK_DATA: data } : { PADLOCK_DATABASE: database }
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // As the process sets it for itself, but for its channel to this one.
    env: { ...process.env, ...where, MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072' },
  })
  const exited = once(child, 'exit')
  let output = ''
  const listening = Promise.withResolvers<string>()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const [url] = /http:\/\/[\d.]+:\d+/.exec(output) ?? []
      if (url !== undefined) listening.resolve(url)
    })
  }
  void exited.then(() => listening.reject(new Error(`the node did not start: ${output}`)))
  const url = await listening.promise
  return {
    url,
    get alive() {
      return child.exitCode === null && child.signalCode === null
    },
    get output() {
      return output
    },
    memory: () => Math.round(residentKiB(child.pid ?? 0) / 1024),
    held: async () => {
      child.send('collect')
      const [bytes] = await once(child, 'message')
      return Math.round(Number(bytes) / 1024 ** 2)
    },
    busyMs: () => busyMsOf(child.pid ?? 0),
    async close() {
      child.kill('SIGKILL')
      await exited
      await rm(data, { recursive: true, force: true })
    },
  }
}

/** What a node must never print: failures of its own, where they happened, and what it was sent. */
export function faultsInOutput(output: string, secrets: readonly string[]): string[] {
  const spellings = secrets.flatMap((secret) => [
    secret,
    // Without the padding and the first character, whose bits depend on what stands around it.
    Buffer.from(secret).toString('base64').slice(1, -4),
    Buffer.from(secret).toString('hex'),
  ])
  return output
    .split('\n')
    .filter(
      (line) =>
        /defect|storage failed|uncaught|unhandled|^\s+at |Warning/i.test(line) ||
        spellings.some((spelling) => line.includes(spelling)),
    )
}
