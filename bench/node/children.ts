/** The processes of a run: each has one task and answers one request after another. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

type Calls = Readonly<Record<string, (argument: never) => unknown>>

interface Request {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

interface Reply {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

export interface Child<C extends Calls> {
  call<N extends keyof C & string>(
    name: N,
    argument: Parameters<C[N]>[0],
  ): Promise<Awaited<ReturnType<C[N]>>>
  /** Ends it; a call must first close whatever it holds. */
  end(): Promise<void>
}

/** Starts a file of this folder. It ends with this process. */
export function startChild<C extends Calls>(
  file: string,
  options: { readonly execArgv?: readonly string[] } = {},
): Child<C> {
  const child: ChildProcess = fork(fileURLToPath(new URL(file, import.meta.url)), {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning', ...(options.execArgv ?? [])],
  })
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let nextId = 1
  child.on('message', ({ id, value, error }: Reply) => {
    const waiting = pending.get(id)
    pending.delete(id)
    if (error === undefined) waiting?.resolve(value)
    else waiting?.reject(new Error(`${file}: ${error}`))
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      for (const { reject } of pending.values()) reject(new Error(`${file} ended`))
      resolve()
    })
  })
  function call<N extends keyof C & string>(
    name: N,
    argument: Parameters<C[N]>[0],
  ): Promise<Awaited<ReturnType<C[N]>>>
  function call(name: string, argument: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = nextId
      nextId += 1
      pending.set(id, { resolve, reject })
      const request: Request = { id, name, argument }
      child.send(request, (error) => {
        if (error) reject(error)
      })
    })
  }
  return {
    call,
    async end() {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

/** In the child: answers requests with these functions, and ends when the parent is gone. */
export function answerCalls(calls: Calls): void {
  const byName = new Map<string, (argument: never) => unknown>(Object.entries(calls))
  const reply = (message: Reply): void => {
    if (process.connected) process.send?.(message)
  }
  process.on('message', ({ id, name, argument }: Request) => {
    const run = async (): Promise<unknown> => byName.get(name)?.(argument as never)
    run().then(
      (value) => reply({ id, value }),
      (error: unknown) => {
        reply({ id, error: error instanceof Error ? (error.stack ?? error.message) : 'unknown' })
      },
    )
  })
  process.once('disconnect', () => process.exit(0))
}

/** Processor time of a process over a period. */
export const watchCpu = (): (() => number) => {
  const before = process.cpuUsage()
  const startedMs = performance.now()
  /** Share of one core. */
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000 / (performance.now() - startedMs)
  }
}
