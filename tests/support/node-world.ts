/**
 * The world in Node: the real engine behind the real boundary on a MessageChannel, fake-indexeddb,
 * the real wasm, and a real node on disk behind a relay that can be cut.
 */
import 'fake-indexeddb/auto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningNode, startNode } from '../../node/src/node.ts'
import type { Client } from '../../src/facade/client.ts'
import { openClient } from '../../src/facade/open-client.ts'
import { serve } from '../../src/worker/main.ts'
import { anAccount } from './accounts.ts'
import { makeAttacker } from './attacker.ts'
import {
  countWarnings,
  isSettled,
  isWaiting,
  readHistory,
  show,
  untilHistory,
  untilState,
} from './client-steps.ts'
import { startProxy } from './proxy.ts'
import { Recorder } from './record.ts'
import type { Device, Person, Shown, World } from './world.ts'

interface Wallet {
  readonly address: `0x${string}`
  signMessage(arg: { message: string }): Promise<string>
  readonly asked: { count: number }
}

export interface NodeWorld extends World {
  readonly url: string
  wallet(person: Person): Wallet
  /** The client of a device, for what stories cannot say. */
  client(device: Device): Client
  close(): Promise<void>
}

export const wasmBytes = async (): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await readFile(new URL('../../wasm/pkg/padlock.wasm', import.meta.url)))

/** Opens a client whose worker side runs in this thread. */
export const openNodeClient = async (
  options: Parameters<typeof openClient>[0],
  wasm: Uint8Array<ArrayBuffer>,
): Promise<Client> =>
  openClient(options, async () => {
    const { port1, port2 } = new MessageChannel()
    port1.start()
    port2.start()
    serve(port2)
    return {
      port: port1,
      wasm: [async () => wasm],
      terminate: () => {
        port1.close()
        port2.close()
      },
    }
  })

export const createNodeWorld = async (seed: number): Promise<NodeWorld> => {
  const data = await mkdtemp(join(tmpdir(), 'padlock-world-'))
  const wasm = await wasmBytes()
  const proxy = await startProxy()
  let running: RunningNode | undefined
  const start = async () => {
    running = await startNode({ data, port: 0, host: '127.0.0.1' })
    proxy.target(Number(new URL(running.url).port))
  }
  await start()
  const wallets = new Map<Person, Wallet>()
  const devices = new Map<Device, NodeDevice>()
  const wallet = (person: Person): Wallet => {
    const found = wallets.get(person)
    if (!found) throw new Error('not a person of this world')
    return found
  }
  return {
    seed,
    scale: 1,
    attacker: makeAttacker(proxy.url, data),
    url: proxy.url,
    wallet,
    person: async (name) => {
      const account = anAccount()
      const asked = { count: 0 }
      const person = { name, address: account.address }
      wallets.set(person, {
        address: account.address,
        asked,
        signMessage: (arg) => {
          asked.count += 1
          return account.signMessage(arg)
        },
      })
      return person
    },
    device: async (person, name) => {
      const device = new NodeDevice(person, name, () =>
        openNodeClient(
          { wallet: wallet(person), node: proxy.url, database: `${name}-${person.address}` },
          wasm,
        ),
      )
      devices.set(device, device)
      device.asked = wallet(person).asked
      await device.open()
      return device
    },
    client: (device) => {
      const client = devices.get(device)?.client
      if (!client) throw new Error('the device is closed')
      return client
    },
    node: {
      stop: async () => {
        proxy.target(undefined)
        proxy.cut()
        await running?.close()
        running = undefined
      },
      start,
      forget: () => rm(data, { recursive: true, force: true }),
      cut: async () => proxy.cut(),
    },
    close: async () => {
      for (const device of devices.values()) await device.close()
      proxy.target(undefined)
      await proxy.close()
      await running?.close()
      await rm(data, { recursive: true, force: true })
    },
  }
}

class NodeDevice implements Device {
  readonly name: string
  readonly person: Person
  readonly #create: () => Promise<Client>
  readonly #streamed = new Recorder<Shown>()
  asked = { count: 0 }
  client: Client | undefined
  #cursor: string | undefined
  #stop = new AbortController()
  #reading: Promise<void> = Promise.resolve()

  constructor(person: Person, name: string, create: () => Promise<Client>) {
    this.person = person
    this.name = name
    this.#create = create
  }

  async open(): Promise<void> {
    const client = await this.#create()
    this.client = client
    this.#stop = new AbortController()
    this.#reading = this.#read(client, this.#stop.signal)
  }

  async #read(client: Client, signal: AbortSignal): Promise<void> {
    const stream = client.messages({ signal, since: this.#cursor ?? '0' })
    for await (const message of stream) {
      this.#streamed.push(show(message))
      this.#cursor = message.cursor
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#reading
    await this.client?.close()
    this.client = undefined
  }

  async reload(): Promise<void> {
    await this.close()
    await this.open()
  }

  #open(): Client {
    if (!this.client) throw new Error(`${this.name} is closed`)
    return this.client
  }

  async send(to: Person, text: string, until: 'stored' | 'sent' = 'stored'): Promise<void> {
    const conversation = await this.#open().conversation(to.address)
    await conversation.send(text, { until })
  }

  history(withPerson: Person, pageSize?: number): Promise<readonly Shown[]> {
    return readHistory(this.#open(), withPerson.address, pageSize)
  }

  settled(withPerson: Person, count: number): Promise<void> {
    return untilHistory(this.#open(), withPerson.address, isSettled(count))
  }

  waiting(withPerson: Person, reason: string): Promise<void> {
    return untilHistory(this.#open(), withPerson.address, isWaiting(reason))
  }

  reached(state: 'live' | 'offline'): Promise<void> {
    return untilState(this.#open(), state)
  }

  streamed(atLeast: number): Promise<readonly Shown[]> {
    return this.#streamed.atLeast(atLeast)
  }

  async warnings(): Promise<Readonly<Record<string, number>>> {
    return countWarnings(this.#open())
  }

  async installationId(): Promise<string> {
    return this.#open().installationId
  }

  async signatures(): Promise<number> {
    return this.asked.count
  }
}
