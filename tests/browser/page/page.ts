/** The page that browser tests drive: one client of the built SDK, and what stories do with it. */
import {
  type Client,
  type CreateClientOptions,
  createClient,
  deleteLocalData,
  PadlockError,
} from 'padlock-sdk'
import { createClient as createInlineClient } from 'padlock-sdk/inline'
import {
  countWarnings,
  isSettled,
  isWaiting,
  readHistory,
  show,
  untilHistory,
  untilState,
} from '../../support/client-steps.ts'
import type { Shown } from '../../support/world.ts'
import { damage, done, findInDatabases, plant } from './dump.ts'

declare global {
  interface Window {
    /** Signs as a wallet would, outside the page. */
    walletSign(address: string, message: string): Promise<string>
    /** Gets what the stream gives, with its cursor. */
    streamed(message: Shown, cursor: string): Promise<void>
    page: typeof page
  }
}

export interface OpenOptions {
  readonly address: string
  /** As somebody typed it, instead of asking the wallet. */
  readonly typed?: string
  readonly node: string
  readonly database?: string
  readonly since?: string
  readonly wasmUrl?: string
  /** Serve the worker from here instead. */
  readonly workerUrl?: string
  /** Use the entry that carries its worker and wasm in itself. */
  readonly inline?: boolean
  /** What the wallet throws instead of signing. */
  readonly walletError?: { readonly code: number; readonly message: string }
}

/** What the SDK says on the console. */
const said: string[] = []
const { warn } = console
console.warn = (...words: unknown[]) => {
  said.push(words.join(' '))
  warn(...words)
}

let client: Client | undefined
/** Why the stream ended. */
let ended: string | undefined

const open = (): Client => {
  if (!client) throw new Error('no client in this page')
  return client
}

const read = async (from: Client, since: string): Promise<void> => {
  try {
    for await (const message of from.messages({ since })) {
      await window.streamed(show(message), message.cursor)
    }
  } catch (error) {
    if (!(error instanceof PadlockError)) throw error
    ended = error.code
  }
}

/** What a developer reads of an error. */
export interface ReadError {
  readonly code: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
  readonly cause: string
}

const readError = async (run: () => Promise<unknown>): Promise<ReadError | undefined> => {
  try {
    await run()
    return undefined
  } catch (error) {
    // Not by its class: the two entries have one each.
    if (!(error instanceof Error) || error.name !== 'PadlockError') throw error
    const { code, message, details = {}, cause } = error as PadlockError
    return { code, message, details, cause: String(cause) }
  }
}

/** A refusal as data: errors do not cross to the test with their code. */
const codeOf = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run()
    return 'none'
  } catch (error) {
    return error instanceof PadlockError ? error.code : `not a PadlockError: ${String(error)}`
  }
}

const create = (options: OpenOptions): Promise<Client> => {
  const { address, typed, node, database, wasmUrl, workerUrl, walletError } = options
  const all: CreateClientOptions = {
    wallet: {
      address,
      signMessage: async ({ message }: { message: string }) => {
        if (walletError) throw Object.assign(new Error(walletError.message), walletError)
        return window.walletSign(address, message)
      },
    },
    node,
    ...(typed === undefined ? {} : { address: typed }),
    ...(database === undefined ? {} : { database }),
    ...(wasmUrl === undefined ? {} : { wasmUrl }),
    ...(workerUrl === undefined
      ? {}
      : { createWorker: () => new Worker(workerUrl, { type: 'module' }) }),
  }
  return options.inline ? createInlineClient(all) : createClient(all)
}

const page = {
  said: async () => [...said],
  open: async (options: OpenOptions): Promise<void> => {
    const made = await create(options)
    client = made
    void read(made, options.since ?? '0')
  },
  openError: (options: OpenOptions) =>
    readError(async () => {
      client = await create(options)
    }),
  openCode: (options: OpenOptions) =>
    codeOf(async () => {
      client = await create(options)
    }),
  send: async (peer: string, text: string, until: 'stored' | 'sent'): Promise<void> => {
    const conversation = await open().conversation(peer)
    await conversation.send(text, { until })
  },
  history: (peer: string, pageSize?: number) => readHistory(open(), peer, pageSize),
  settled: (peer: string, count: number) => untilHistory(open(), peer, isSettled(count)),
  waiting: (peer: string, reason: string) => untilHistory(open(), peer, isWaiting(reason)),
  reached: (state: 'live' | 'offline') => untilState(open(), state),
  warnings: async () => countWarnings(open()),
  installationId: async () => open().installationId,
  close: () => open().close(),
  deleteLocalData: () => open().deleteLocalData(),
  /** Of the module: without a client. */
  deleteDatabase: (database: string) => readError(() => deleteLocalData({ database })),
  deleteDataOf: (address: string) => readError(() => deleteLocalData({ address })),
  damage,
  /** As a browser that clears data, or finds it damaged: nobody is asked. */
  drop: (database: string) => done(indexedDB.deleteDatabase(database)),
  /** For what is read and said in the page itself: a client does not cross to the test. */
  client: open,
  state: async () => open().status.state,
  ended: async () => ended,
  warningsInFull: async () => open().status.warnings,
  sendCode: (peer: string, text: string) =>
    codeOf(async () => (await open().conversation(peer)).send(text)),
  /** Which of these texts anything in any database of this page holds, in any usual encoding. */
  findInDatabases,
  databaseNames: async () => (await indexedDB.databases()).map(({ name }) => name ?? ''),
  /** Puts a text in clear into a database of its own, to see that the search finds it. */
  plant,
  /** The code of any call, such as one after `close`. */
  conversationCode: (peer: string) => codeOf(() => open().conversation(peer)),
}

window.page = page
