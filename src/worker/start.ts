/**
 * The ways to start the worker, best first: the file beside the module, a blob that imports it from
 * another origin, and the copy inside the SDK, which is loaded only then. If the first way fails,
 * the console says so once, and every failure says what was tried.
 */

import { raceAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import { untilReported, watchPolicy } from './policy-reports.ts'
import { scriptUrl } from './script-url.ts'
import { type Spawned, spawnWorker } from './spawn.ts'

/** The worker and the wasm as text, where their files are not available. */
export interface EmbeddedFiles {
  readonly workerSource: string
  readWasm(): Uint8Array<ArrayBuffer>
}

export type LoadEmbedded = () => Promise<EmbeddedFiles>

/** If one file takes longer than this, nothing else works on the connection either. */
const loadTimeoutMs = 60_000

/** Loads the copy inside the SDK: a server may leave the request for it unanswered. */
export const loadInTime = (load: LoadEmbedded): Promise<EmbeddedFiles> => {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), loadTimeoutMs)
  const noAnswer = () => new Error('no answer in time')
  return raceAbort(load(), late.signal, noAnswer).finally(() => clearTimeout(timer))
}

export interface StartedWorker extends Spawned {
  /** Whether it is the copy inside the SDK. */
  readonly isEmbedded: boolean
}

interface Way {
  /** For people, such as an address. */
  readonly says: string
  /** The file that it needs, so that its absence can be explained. */
  readonly file?: URL
  readonly isEmbedded?: true
  /** What the console says once when it works, if a page should not need this way. */
  readonly note?: string
  spawn(signal: AbortSignal | undefined): Promise<Spawned>
}

const options = { type: 'module', name: 'padlock' } as const
/** How long explaining a failure may take. */
const probeTimeoutMs = 5_000

/** The index of the way that worked on this page, so that the others are not tried again. */
let firstWay = 0
let hasSpoken = false

/** Starts the worker that an application makes itself. */
export const startGivenWorker = (
  createWorker: () => Worker,
  signal: AbortSignal | undefined,
): Promise<StartedWorker> =>
  startBy([{ says: 'createWorker', spawn: (ending) => spawnWorker(createWorker, ending) }], signal)

/** Starts the copy inside the SDK. */
export const startEmbeddedWorker = (
  load: LoadEmbedded,
  signal: AbortSignal | undefined,
): Promise<StartedWorker> => startBy([embeddedWay(load)], signal)

/**
 * Starts the worker in the best way that works on this page.
 *
 * @param findFile the address of worker.js; throws if the bundler left none.
 * @throws PadlockError worker_unavailable, reload_needed, aborted
 */
export const startWorker = async (
  findFile: () => URL,
  load: LoadEmbedded,
  signal: AbortSignal | undefined,
): Promise<StartedWorker> => {
  const ways = [fileWay(findFile), embeddedWay(load)]
  const begin = firstWay
  // After a failure, the next start begins with the best way again.
  firstWay = 0
  return startBy(ways.slice(begin), signal, (index, tried) => {
    firstWay = begin + index
    const { note, says } = ways[firstWay] ?? {}
    if (hasSpoken || (index === 0 && note === undefined)) return
    hasSpoken = true
    console.warn(
      note ??
        `Padlock started the worker from ${says}, because worker.js did not load (${tried}). ` +
          'To save the attempt, pass createWorker and wasmUrl, or import padlock-sdk/inline.',
    )
  })
}

/** @param onStarted called with the way that worked and how those before it ended. */
const startBy = async (
  ways: readonly Way[],
  signal: AbortSignal | undefined,
  onStarted?: (index: number, tried: string) => void,
): Promise<StartedWorker> => {
  const tried: string[] = []
  let cause: unknown
  for (const [index, way] of ways.entries()) {
    const policy = watchPolicy()
    try {
      const spawned = await way.spawn(signal)
      onStarted?.(index, tried.join('; '))
      return { ...spawned, isEmbedded: way.isEmbedded === true }
    } catch (error) {
      if (!(error instanceof PadlockError) || error.code !== 'worker_unavailable') throw error
      cause ??= error.cause
      const file = way.file && (await probeFile(way.file))
      await untilReported()
      const why = [file, refusedBy(policy.directives()), wordsOf(error.cause)]
      tried.push([way.says, why.find((reason) => reason !== undefined)].filter(Boolean).join(': '))
    } finally {
      policy.stop()
    }
  }
  throw new PadlockError('worker_unavailable', { details: { tried: tried.join('; ') }, cause })
}

const fileWay = (findFile: () => URL): Way => {
  let url: URL
  try {
    url = absoluteUrl(findFile())
  } catch (cause) {
    // Scripts that are not modules have no `import.meta.url`.
    const spawn = () => Promise.reject(new PadlockError('worker_unavailable', { cause }))
    return { says: 'an address beside the module', spawn }
  }
  const says = withoutSecrets(url)
  const start = (address: string) => (signal: AbortSignal | undefined) =>
    spawnWorker(() => new Worker(scriptUrl(address), options), signal)
  if (url.origin === globalThis.location.origin || url.protocol === 'blob:') {
    return { says, file: url, spawn: start(url.href) }
  }
  // Browsers do not start a worker from another origin, but a worker may import from one that
  // allows it.
  const source = `import ${JSON.stringify(url.href)}`
  return {
    says: `a blob that imports ${says}`,
    file: url,
    note:
      `Padlock started the worker from a blob, because ${says} is on another origin. ` +
      'Where a content policy forbids that, serve worker.js from the page’s own and pass createWorker.',
    spawn: spawnSource(() => source),
  }
}

const embeddedWay = (load: LoadEmbedded): Way => ({
  says: 'the copy inside the SDK',
  isEmbedded: true,
  spawn: spawnSource(async () => (await loadInTime(load)).workerSource),
})

const spawnSource =
  (readSource: () => string | Promise<string>) =>
  async (signal: AbortSignal | undefined): Promise<Spawned> => {
    let url: string
    try {
      url = URL.createObjectURL(new Blob([await readSource()], { type: 'text/javascript' }))
    } catch (cause) {
      throw new PadlockError('worker_unavailable', { cause })
    }
    try {
      return await spawnWorker(() => new Worker(scriptUrl(url), options), signal)
    } finally {
      URL.revokeObjectURL(url)
    }
  }

/** Some bundlers give a path, or an object of their own with only the path. */
export const absoluteUrl = (url: URL | string): URL =>
  new URL(typeof url === 'string' ? url : url.href, globalThis.location.href)

/** The part of an address that a message may show. */
const withoutSecrets = ({ origin, protocol, pathname }: URL): string =>
  origin === 'null' ? `${protocol}${pathname}` : `${origin}${pathname}`

/** Why a script does not load from there; undefined if the file is fine. */
const probeFile = async (url: URL): Promise<string | undefined> => {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), probeTimeoutMs)
  try {
    const response = await fetch(url, { signal: limit.signal })
    await response.body?.cancel()
    if (!response.ok) return `status ${response.status}`
    const type = response.headers.get('content-type') ?? 'nothing'
    return /^(?:text|application)\/(?:x-)?(?:java|ecma)script/i.test(type)
      ? undefined
      : `served as ${type.slice(0, 60)}`
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

const refusedBy = (directives: readonly string[]): string | undefined => {
  const known = directives.filter((name) => /^(?:worker|child|script|require)-/.test(name))
  return known.length === 0 ? undefined : `the content policy blocks it (${known.join(', ')})`
}

const wordsOf = (cause: unknown): string | undefined => {
  const words = cause instanceof Error ? cause.message : cause
  return typeof words === 'string' && words !== ''
    ? words.slice(0, 200).replace(/\.$/, '')
    : undefined
}
