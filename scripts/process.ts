/**
 * Runs one command to its end, with a time limit, and leaves no process behind. Every command gets
 * its own process group, so that what it started ends with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'

export interface RunOptions {
  readonly cwd?: string
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds; 15 minutes by default, enough for a whole run on a fresh machine. */
  readonly timeoutMs?: number
  /** `'collect'` returns the output instead of showing it. */
  readonly output?: 'show' | 'collect'
}

export interface Finished {
  /** The exit code; 124 after the time limit, 127 when the command could not be started. */
  readonly code: number
  /** Standard output and standard error in order of arrival; empty when they were shown. */
  readonly output: string
  /** Standard output alone; empty when it was shown. */
  readonly stdout: string
}

const running = new Set<ChildProcess>()

const killGroup = (child: ChildProcess): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group is already empty.
  }
}

// A separate group does not get the terminal's Ctrl-C, so this passes it on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const child of running) killGroup(child)
    process.exit(signal === 'SIGINT' ? 130 : 143)
  })
}

/** Runs `command` without a shell. Never rejects: a command that does not start is exit code 127. */
export const run = (
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> => {
  let resolve: (finished: Finished) => void
  const promise = new Promise<Finished>((settle) => {
    resolve = settle
  })
  const collect = options.output === 'collect'
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', collect ? 'pipe' : 'inherit', collect ? 'pipe' : 'inherit'],
    detached: true,
  })
  running.add(child)
  let output = ''
  let stdout = ''
  let timedOut = false
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const limit = setTimeout(
    () => {
      timedOut = true
      killGroup(child)
    },
    options.timeoutMs ?? 15 * 60_000,
  )
  const finish = (code: number): void => {
    clearTimeout(limit)
    running.delete(child)
    resolve({ code: timedOut ? 124 : code, output, stdout })
  }
  child.once('error', (error) => {
    output += error.message
    finish(127)
  })
  // Ends whatever the command left running, so that nothing writes after the last line.
  child.once('exit', () => killGroup(child))
  child.once('close', (code) => finish(code ?? 1))
  return promise
}
