/**
 * Opens a client: no keys, no storage, only calls to the worker's engine and answers to what that asks
 * of the wallet.
 */

import type { Chains } from '../chains/chains.ts'
import { errorMessages } from '../error-messages.ts'
import { messageOf, PadlockError, setErrorMessages } from '../errors.ts'
import type { Wallet } from '../wallet/wallet.ts'
import type {
  Consent,
  Installation,
  News,
  Opened,
  ClientEvent as PlainEvent,
  Status,
  WorkerApi,
} from '../worker/contract.ts'
import { loadWasm } from '../worker/load-wasm.ts'
import { defaultDatabase, deleteDatabase } from '../worker/local-database.ts'
import type { Remote } from '../worker/rpc.ts'
import type {
  Client,
  ClientOptions,
  ClientStatus,
  ConversationsOptions,
  NewsOptions,
} from './client.ts'
import { type Conversation, makeConversation, unlessAborted } from './conversation.ts'
import { connectEngine, type EngineHandle, hostOf, startEngine } from './engine-host.ts'
import { EventHub } from './events.ts'
import { forgetDevice, knownDevice, rememberDevice } from './known-device.ts'
import { type ClientEvent, type Message, makeEvent } from './message.ts'
import { onReturn } from './returning.ts'
import { type MessagesOptions, streamMessages } from './stream.ts'

/** Closing ends what hangs, so it waits for nothing longer than this. */
const closeTimeoutMs = 60_000

/** Opens a client over a port where `serve` of worker/main.ts is listening. */
export const openClient = async (
  options: ClientOptions,
  start: () => Promise<EngineHandle>,
): Promise<Client> => {
  setErrorMessages(errorMessages)
  const { engine, wallet, chains, request } = await startEngine(options, start)
  try {
    const database = options.database ?? (await defaultDatabase(request.address))
    const client = new OpenClient(engine, wallet, chains)
    const device = {
      database,
      knownInstallationId: knownDevice(database),
      renew: options.renew === true,
    }
    await client.open({ ...request, ...device }, options.signal)
    return boundClient(client)
  } catch (error) {
    engine.terminate()
    throw error
  }
}

/** What compiled `await using` looks for on platforms without `Symbol.asyncDispose`. */
const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

/** The worker knows only codes; their messages are here. */
const withMessages = (status: Status): Status => ({
  ...status,
  warnings: status.warnings.map((warning) => ({ ...warning, message: messageOf(warning.code) })),
})

/**
 * The client as an object without private members, whose methods need no `this`: so it also works
 * inside a Proxy, as in the state of Vue, and with its methods taken off.
 */
const boundClient = (open: OpenClient): Client => ({
  get address() {
    return open.address
  },
  get installationId() {
    return open.installationId
  },
  get status() {
    return open.status
  },
  conversation: (address) => open.conversation(address),
  conversations: (options) => open.conversations(options),
  consent: (address) => open.consent(address),
  setConsent: (address, consent) => open.setConsent(address, consent),
  messages: (options) => open.messages(options),
  events: (options) => open.events(options),
  news: (options) => open.news(options),
  installations: (address) => open.installations(address),
  canMessage: (address) => open.canMessage(address),
  revoke: (installationIds, options) => open.revoke(installationIds, options),
  vouch: (installationIds) => open.vouch(installationIds),
  close: () => open.close(),
  deleteLocalData: () => open.deleteLocalData(),
  [asyncDispose]: () => open.close(),
})

/** The newest warning of a client that ended by itself says why. */
const whyEnded = ({ warnings }: Status): PadlockError => {
  const code = warnings.at(-1)?.code
  return new PadlockError(code === 'leadership_lost' || code === 'storage_lost' ? code : 'closed')
}

class OpenClient {
  readonly #engine: EngineHandle
  readonly #worker: Remote<WorkerApi>
  readonly #closeRpc: (error: PadlockError) => void
  readonly #events = new EventHub()
  #opened: Opened = {
    address: '',
    installationId: '',
    status: { state: 'connecting', warnings: [] },
  }
  #status: Status = this.#opened.status
  #database = ''
  #persisted: boolean | undefined
  #askedToPersist = false
  #closing: Promise<void> | undefined
  #stopListening: () => void = () => undefined

  constructor(engine: EngineHandle, wallet: Wallet, chains: Chains) {
    this.#engine = engine
    const own = hostOf(wallet, chains, (events) => this.#deliver(events))
    const { remote, close } = connectEngine(engine, own)
    this.#worker = remote
    this.#closeRpc = close
    engine.onFailure?.((error) => this.#end(error))
  }

  async open(
    request: Parameters<WorkerApi['open']>[0],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#stopListening = onReturn(() => void this.#worker.returned({}).catch(() => undefined))
    try {
      await unlessAborted(loadWasm(this.#worker, this.#engine.wasm, { signal }), signal)
      this.#opened = await this.#worker.open(request, { signal })
      this.#status = withMessages(this.#opened.status)
      this.#database = request.database
      rememberDevice(this.#database, this.installationId)
    } catch (error) {
      this.#end(new PadlockError('closed'))
      throw error
    }
  }

  get address(): string {
    return this.#opened.address
  }

  get installationId(): string {
    return this.#opened.installationId
  }

  get status(): ClientStatus {
    return { ...this.#status, persisted: this.#persisted }
  }

  async conversation(address: string): Promise<Conversation> {
    const info = await this.#worker.conversation({ address })
    return makeConversation(this.#worker, info, this.#persist)
  }

  async conversations({
    limit,
    before,
    consent,
  }: ConversationsOptions = {}): Promise<readonly Conversation[]> {
    // Only what can be cloned: a conversation has methods.
    const place = before && {
      id: before.id,
      createdAtMs: before.createdAtMs,
      lastMessageAtMs: before.lastMessageAtMs,
    }
    const list = await this.#worker.conversations({ limit, before: place, consent })
    return list.map((info) => makeConversation(this.#worker, info, this.#persist))
  }

  consent(address: string): Promise<Consent> {
    return this.#worker.consent({ address })
  }

  setConsent(address: string, consent: Consent): Promise<void> {
    return this.#worker.setConsent({ address, consent })
  }

  messages(options: MessagesOptions = {}): AsyncIterable<Message> {
    return streamMessages(this.#worker, undefined, options)
  }

  events({ signal }: { readonly signal?: AbortSignal } = {}): AsyncIterable<ClientEvent> {
    return this.#events.listen(signal)
  }

  news({ since = '0', limit = 100 }: NewsOptions = {}): Promise<readonly News[]> {
    return this.#worker.news({ since, limit })
  }

  installations(address?: string): Promise<readonly Installation[]> {
    return this.#worker.installations({ address })
  }

  canMessage(address: string): Promise<boolean> {
    return this.#worker.canMessage({ address })
  }

  revoke(
    installationIds: readonly string[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.#worker.revoke({ ids: [...installationIds] }, { signal })
  }

  vouch(installationIds: readonly string[]): Promise<void> {
    return this.#worker.vouch({ ids: [...installationIds] })
  }

  close(): Promise<void> {
    return this.#close(false)
  }

  async deleteLocalData(): Promise<void> {
    if (!this.#closing) return this.#close(true)
    // It was closed, or ended by itself: nobody is left to ask.
    await this.#closing
    await deleteDatabase(this.#database)
    forgetDevice(this.#database)
  }

  #close(deleteData: boolean): Promise<void> {
    this.#closing ??= this.#endWith(new PadlockError('closed'), deleteData)
    return this.#closing
  }

  /** The worker closes the database before it is terminated. */
  async #endWith(reason: PadlockError, deleteData = false): Promise<void> {
    try {
      await this.#worker.close({ deleteData }, { timeoutMs: closeTimeoutMs })
      if (deleteData) forgetDevice(this.#database)
    } finally {
      this.#end(reason)
    }
  }

  #end(error: PadlockError): void {
    if (this.#status.state !== 'closed') {
      this.#status = { ...this.#status, state: 'closed' }
      this.#events.push([{ kind: 'status', status: this.#status }])
    }
    this.#stopListening()
    this.#events.close(error)
    this.#closeRpc(error)
    this.#closing ??= Promise.resolve()
    this.#engine.terminate()
  }

  #deliver(events: readonly PlainEvent[]): void {
    const emitted = events.map((event) =>
      event.kind === 'status'
        ? { ...event, status: withMessages(event.status) }
        : makeEvent(this.#worker, event),
    )
    for (const event of emitted) if (event.kind === 'status') this.#status = event.status
    this.#events.push(emitted)
    // Nobody closed it: it ended by itself, and whatever is called now fails for that reason.
    if (this.#status.state === 'closed') {
      this.#closing ??= this.#endWith(whyEnded(this.#status)).catch(() => undefined)
    }
  }

  /**
   * After the first message, so that a browser that asks the person does so at a sensible moment.
   */
  readonly #persist = (): void => {
    if (this.#askedToPersist) return
    this.#askedToPersist = true
    if (typeof navigator === 'undefined' || !navigator.storage?.persist) return
    navigator.storage.persist().then(
      (persisted) => {
        this.#persisted = persisted
      },
      () => undefined,
    )
  }
}
