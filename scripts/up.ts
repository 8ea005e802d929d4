/**
 * Runs a node and the demo on this machine until Ctrl-C; `dev/up` calls it. Both children live and
 * die together: neither is useful alone.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from './files.ts'
import { run } from './process.ts'
import { readUpOptions, type UpOptions } from './up-options.ts'

const answerWithinMs = 60_000
const stopWithinMs = 8_000

const fail = (sentence: string): never => {
  console.error(sentence)
  process.exit(1)
}

/** Both addresses of `localhost` must be free: a browser may use either. */
const isFree = async (port: number): Promise<boolean> => {
  for (const host of ['127.0.0.1', '::1']) {
    const code = await new Promise<string | undefined>((resolve) => {
      const server = createServer()
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      server.listen({ port, host }, () => server.close(() => resolve(undefined)))
    })
    if (code === 'EADDRINUSE' || code === 'EACCES') return false
  }
  return true
}

const refuseTakenPorts = async ({ nodePort, demoPort }: UpOptions): Promise<void> => {
  if (!(await isFree(nodePort))) fail(`Port ${nodePort} is taken: pass another with --node-port.`)
  if (!(await isFree(demoPort))) fail(`Port ${demoPort} is taken: pass another with --demo-port.`)
}

const buildAll = async (): Promise<void> => {
  const { code } = await run('bash', ['scripts/build-wasm.sh'], { cwd: root })
  if (code !== 0) fail('The wasm does not build: see its message above.')
  const build = await run(process.execPath, ['scripts/build.ts'], { cwd: root })
  if (build.code !== 0) fail('The packages do not build: see the message above.')
}

const start = (args: readonly string[], env: Record<string, string> = {}): ChildProcess =>
  spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  })

const signalGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group has ended.
  }
}

const whenEnded = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })

/** Resolves once `ask` succeeds; waits between attempts, up to the limit. */
const waitForAnswer = async (ask: () => Promise<Response>, what: string): Promise<void> => {
  const limit = Date.now() + answerWithinMs
  for (;;) {
    const answered = await ask().then(
      (response) => response.ok,
      () => false,
    )
    if (answered) return
    if (Date.now() > limit) throw new Error(`${what} did not answer within a minute.`)
    await sleep(100)
  }
}

const askNode = (url: string) => (): Promise<Response> =>
  fetch(`${url}/padlock.v1.NodeService/GetInfo`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })

const readOptions = (): UpOptions => {
  try {
    return readUpOptions(process.argv.slice(2))
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const options = readOptions()
await refuseTakenPorts(options)
if (!existsSync(join(root, 'node/src/main.ts'))) fail('node/src/main.ts is missing.')
await buildAll()

const nodeUrl = `http://localhost:${options.nodePort}`
const demoUrl = `http://localhost:${options.demoPort}/`
const local = ['--host', '127.0.0.1']
const nodeArgs = ['node/src/main.ts', '--data', './.data', '--port', `${options.nodePort}`]
const viteArgs = ['demo', '--config', 'vite.config.ts', '--port', `${options.demoPort}`]
const vite = join(root, 'node_modules/vite/bin/vite.js')

const children = {
  'The node': start([...nodeArgs, ...local]),
  // The demo reads its node's address from this variable.
  'The demo': start([vite, ...viteArgs, '--strictPort', ...local], { VITE_NODE_URL: nodeUrl }),
}

let stopping: Promise<never> | undefined
const stop = (code: number): Promise<never> => {
  stopping ??= (async () => {
    const all = Object.values(children)
    for (const child of all) signalGroup(child, 'SIGTERM')
    await Promise.race([Promise.all(all.map(whenEnded)), sleep(stopWithinMs)])
    for (const child of all) signalGroup(child, 'SIGKILL')
    process.exit(code)
  })()
  return stopping
}

// From here on, a signal stops the two children; before, it stopped the build (process.ts).
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.removeAllListeners(signal)
  process.on(signal, () => void stop(0))
}
for (const [name, child] of Object.entries(children)) {
  void whenEnded(child).then(() => {
    if (stopping === undefined) console.error(`${name} has ended, so the other one is stopped too.`)
    return stop(1)
  })
}

try {
  await Promise.all([
    waitForAnswer(askNode(nodeUrl), 'The node'),
    waitForAnswer(() => fetch(demoUrl), 'The demo'),
  ])
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  await stop(1)
}
// A stop already under way takes precedence.
if (stopping === undefined) {
  console.log(`ready:\n  node ${nodeUrl}\n  demo ${demoUrl}`)
  if (options.once) await stop(0)
}
