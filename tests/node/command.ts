/** The command as a process: what it prints, line by line, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../node/src/main.ts', import.meta.url))

const running = new Set<ChildProcess>()

/** Kills what still runs. */
export function endAll(): void {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
}

/** Runs the command; its lines, and its exit code once it ended. */
export function run(...args: string[]) {
  return runWith({}, ...args)
}

/** The same with these environment variables besides. */
export function runWith(variables: Record<string, string>, ...args: string[]) {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...variables },
  })
  running.add(child)
  const output: string[] = []
  const errors: string[] = []
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      running.delete(child)
      resolve(code)
    })
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => output.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line))
  const line = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = (text: string) => {
        const match = pattern.exec(text)
        if (match !== null) resolve(match)
      }
      output.forEach(look)
      lines.on('line', look)
      void closed.then(() => reject(new Error(`ended without ${pattern}: ${errors.join('\n')}`)))
    })
  return { child, output, errors, closed, line }
}
