/**
 * The bench's part inside the page: opens clients of the built SDK as an application does, drives
 * the reference, and measures. Called from outside as `bench`.
 */

import type { Client } from '../../src/facade/client.ts'
import type { BareAnswer, BareRequest } from './bare.ts'
import { clientOf, held } from './clients.ts'
import { allow, listAll, listen, untilText, warnings } from './crowds.ts'
import { copyDatabase, deleteDatabase } from './databases.ts'
import type { ProbeEntry } from './probe.ts'

export interface OpenOptions {
  readonly node: string
  readonly address: string
  readonly database: string
  /** Whether the worker records what it does. */
  readonly probe?: boolean
  /** Where the SDK is served; a readable build for profiles. */
  readonly from?: string
  /** Read the stream of messages after this cursor meanwhile, as an application would. */
  readonly since?: string
}

export interface Opened {
  /** Until `createClient` answered. */
  readonly createdMs: number
  /** From the status `catching-up`, thus the node's first answer, until `live`. */
  readonly catchingUpMs: number
  /** From the start until everything that waited at the node was committed. */
  readonly liveMs: number
  /** Messages from the stream until it was idle; 0 without a stream. */
  readonly streamed: number
}

declare global {
  var bench: typeof api
  /** Given by the bench: signs with the throw-away key of an address. */
  function benchSign(address: string, message: string): Promise<string>
}

const answerOf = <T>(worker: Worker): Promise<T> =>
  new Promise((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<T>) => resolve(data), { once: true })
    worker.addEventListener('error', (event) => reject(new Error(event.message)), { once: true })
  })

/** Creates the client. @returns milliseconds since the page began when it was asked for. */
const start = async (options: OpenOptions): Promise<{ client: Client; startedMs: number }> => {
  const { node, address, database, probe } = options
  const sdk: typeof import('../../src/index.ts') = await import(
    `${options.from ?? '/dist'}/index.js`
  )
  let worker: Worker | undefined
  const createProbed = () => {
    worker = new Worker('/probe-worker.js', { type: 'module' })
    return worker
  }
  const wallet = {
    address,
    signMessage: ({ message }: { message: string }) => benchSign(address, message),
  }
  const startedMs = performance.now()
  const client = await sdk.createClient({
    wallet,
    address,
    node,
    database,
    ...(probe ? { createWorker: createProbed } : {}),
  })
  held.set(database, { client, worker })
  return { client, startedMs }
}

/** Opens a client and waits until it has caught up. */
const open = async (options: OpenOptions): Promise<Opened> => {
  const { since } = options
  const { client, startedMs } = await start(options)
  const createdMs = performance.now() - startedMs
  let catchingUp = createdMs
  let streamed = 0
  const stop = new AbortController()
  const read = async (after: string) => {
    for await (const _ of client.messages({ since: after, signal: stop.signal })) streamed += 1
  }
  const reading = since === undefined ? Promise.resolve() : read(since)
  const events = client.events()
  if (client.status.state !== 'live') {
    for await (const event of events) {
      if (event.kind !== 'status') continue
      if (event.status.state === 'catching-up') catchingUp = performance.now() - startedMs
      if (event.status.state === 'live') break
    }
  }
  const liveMs = performance.now() - startedMs
  // The stream may be behind the store: wait until it is idle.
  for (let before = -1; streamed > before; ) {
    before = streamed
    if (since !== undefined) await new Promise((resolve) => setTimeout(resolve, 300))
  }
  stop.abort()
  await reading
  return { createdMs, catchingUpMs: liveMs - catchingUp, liveMs, streamed }
}

/** The cursor of the newest message. */
const newestCursor = async (database: string): Promise<string> => {
  let newest = 0
  for (const conversation of await clientOf(database).conversations()) {
    const [last] = await conversation.history({ limit: 1 })
    newest = Math.max(newest, Number(last?.cursor ?? 0))
  }
  return String(newest)
}

const close = async (database: string): Promise<void> => {
  await clientOf(database).close()
  held.delete(database)
}

/** How many messages a database holds; the client is open. */
const countMessages = async (database: string): Promise<number> => {
  const client = clientOf(database)
  let total = 0
  for (const conversation of await client.conversations()) {
    let before: string | undefined
    for (;;) {
      const page = await conversation.history({ ...(before ? { before } : {}), limit: 500 })
      total += page.length
      before = page.at(-1)?.cursor
      if (page.length < 500) break
    }
  }
  return total
}

/** Resolves once this many messages are stored. */
const untilStored = async (database: string, wanted: number): Promise<void> => {
  if (wanted === 0) return
  let seen = 0
  for await (const _ of clientOf(database).messages({ since: '0' })) if (++seen >= wanted) return
}

const untilLive = async (database: string): Promise<void> => {
  const client = clientOf(database)
  const events = client.events()
  if (client.status.state === 'live') return
  for await (const event of events) {
    if (event.kind === 'status' && event.status.state === 'live') return
  }
}

/** One text to each account, until the node has it. */
const greet = async (database: string, addresses: readonly string[]): Promise<void> => {
  for (const address of addresses) {
    const conversation = await clientOf(database).conversation(address)
    await conversation.send('hello', { until: 'sent' })
  }
}

/** Texts one after another, each until the node has it. */
const send = async (
  database: string,
  address: string,
  text: string,
  times: number,
): Promise<readonly number[]> => {
  const conversation = await clientOf(database).conversation(address)
  const storedMs: number[] = []
  for (let nth = 0; nth < times; nth++) {
    const start = performance.now()
    const message = await conversation.send(text)
    storedMs.push(performance.now() - start)
    if (message.state === 'pending') await untilSent(database)
  }
  return storedMs
}

const untilSent = async (database: string): Promise<void> => {
  for await (const event of clientOf(database).events()) {
    if (event.kind === 'message-state' && event.message.state === 'sent') return
  }
}

/** Notes to oneself, which need nobody else, until this many more are stored and sent. */
const fill = async (database: string, more: number, bytes: number): Promise<void> => {
  const client = clientOf(database)
  const notes = await client.conversation(client.address)
  for (let done = 0; done < more; done += 100) {
    const texts = Array.from({ length: Math.min(100, more - done) }, (_, nth) =>
      `${done + nth} `.padEnd(bytes, 'Fixed text, long enough. '),
    )
    await Promise.all(texts.map((text) => notes.send(text, { until: 'sent' })))
  }
}

const addConversations = async (database: string, addresses: readonly string[]): Promise<void> => {
  for (const address of addresses) await clientOf(database).conversation(address)
}

/** Opens it without a reachable node, so that nothing arrives. */
const openOffline = (options: OpenOptions): Promise<unknown> =>
  start({ ...options, node: 'http://127.0.0.1:9' })

/** Median milliseconds of listing all conversations, and of the newest 50 messages of the first. */
const list = async (
  database: string,
): Promise<{ conversationsMs: number; count: number; historyMs: number }> => {
  const client = clientOf(database)
  const conversations: number[] = []
  const histories: number[] = []
  let count = 0
  for (let round = 0; round < 15; round++) {
    const start = performance.now()
    const all = await client.conversations()
    conversations.push(performance.now() - start)
    count = all.length
    const between = performance.now()
    await all[0]?.history({ limit: 50 })
    histories.push(performance.now() - between)
  }
  const middle = (times: number[]): number => times.sort((a, b) => a - b)[7] ?? Number.NaN
  return { conversationsMs: middle(conversations), count, historyMs: middle(histories) }
}

const takeProbe = async (database: string): Promise<readonly ProbeEntry[]> => {
  const worker = held.get(database)?.worker
  if (!worker) throw new Error('opened without a probe')
  return new Promise((resolve) => {
    const listener = ({ data }: MessageEvent<unknown>) => {
      if (typeof data !== 'object' || data === null || !('probe' in data)) return
      worker.removeEventListener('message', listener)
      resolve(data.probe as readonly ProbeEntry[])
    }
    worker.addEventListener('message', listener)
    worker.postMessage('probe: take')
  })
}

/** Milliseconds to load one library in a fresh Worker, until its wasm answered. */
const load = async (library: 'padlock' | 'olm'): Promise<number> => {
  const worker = new Worker('/load.js', { type: 'module' })
  const answer = answerOf<number | string>(worker)
  worker.postMessage(`/load-${library}.js`)
  const time = await answer
  worker.terminate()
  if (typeof time === 'string') throw new Error(time)
  return time
}

let bare: Worker | undefined

/** Starts the reference: libolm loaded, database open, account and sessions read. */
const openBare = async (): Promise<number> => {
  const start = performance.now()
  bare = new Worker('/bare.js', { type: 'module' })
  await answerOf(bare)
  return performance.now() - start
}

const askBare = async (request: BareRequest): Promise<BareAnswer> => {
  if (!bare) throw new Error('the reference is not open')
  const answer = answerOf<{ times?: BareAnswer; error?: string }>(bare)
  bare.postMessage(request)
  const { times, error } = await answer
  if (!times) throw new Error(error)
  return times
}

const closeBare = (): void => {
  bare?.terminate()
  bare = undefined
}

const installationOf = (database: string): string => clientOf(database).installationId

const api = {
  open,
  openOffline,
  close,
  countMessages,
  newestCursor,
  untilStored,
  untilLive,
  greet,
  send,
  fill,
  addConversations,
  list,
  listAll,
  allow,
  listen,
  untilText,
  warnings,
  takeProbe,
  load,
  openBare,
  askBare,
  closeBare,
  copyDatabase,
  deleteDatabase,
  installationOf,
}
globalThis.bench = api
