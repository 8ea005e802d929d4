/**
 * The world in a real browser: each device a profile of its own with a page on the built SDK, a real
 * Worker, a real IndexedDB; the node a process on disk.
 */
import { rm } from 'node:fs/promises'
import { anAccount } from './accounts.ts'
import { makeAttacker } from './attacker.ts'
import type { BrowserEngine, BrowserPage, BrowserProfile } from './browser-page.ts'
import { type NodeProcess, startNodeProcess } from './node-process.ts'
import { Recorder } from './record.ts'
import { type StaticServer, serveTestPage } from './static-server.ts'
import type { Device, Person, Shown, World } from './world.ts'

interface Wallet {
  readonly asked: { count: number }
  sign(message: string): Promise<string>
}

export interface BrowserWorld extends World {
  readonly process: NodeProcess
  readonly server: StaticServer
  /** The page of a device, for what stories cannot say. */
  page(device: Device): BrowserPage
  /** What the pages of a device share. */
  profile(device: Device): BrowserProfile
  close(): Promise<void>
}

/** @param inline whether devices use the entry that carries its worker and wasm in itself. */
export const createBrowserWorld = async (
  engine: BrowserEngine,
  seed: number,
  { inline = false } = {},
): Promise<BrowserWorld> => {
  const node = await startNodeProcess()
  const server = await serveTestPage()
  const wallets = new Map<Person, Wallet>()
  const devices = new Map<Device, BrowserDevice>()
  return {
    seed,
    scale: 0.2,
    attacker: makeAttacker(node.url, node.data),
    process: node,
    server,
    page: (device) => {
      const page = devices.get(device)?.page
      if (!page) throw new Error('the device is closed')
      return page
    },
    profile: (device) => {
      const profile = devices.get(device)?.profile
      if (!profile) throw new Error('not a device of this world')
      return profile
    },
    person: async (name) => {
      const account = anAccount()
      const person = { name, address: account.address }
      wallets.set(person, {
        asked: { count: 0 },
        sign: (message) => account.signMessage({ message }),
      })
      return person
    },
    device: async (person, name) => {
      const wallet = wallets.get(person)
      if (!wallet) throw new Error('not a person of this world')
      const profile = await engine.newProfile()
      const place = { node: node.url, page: server.url, inline }
      const device = new BrowserDevice(person, name, profile, wallet, place)
      devices.set(device, device)
      await device.prepare()
      await device.open()
      return device
    },
    node: {
      stop: () => node.kill(),
      start: () => node.start(),
      forget: () => rm(node.data, { recursive: true, force: true }),
      cut: async () => node.cut(),
    },
    close: async () => {
      for (const device of devices.values()) await device.profile.close()
      await server.close()
      await node.close()
    },
  }
}

/** Where a device finds everything, and by which entry. */
interface Place {
  readonly node: string
  readonly page: string
  readonly inline: boolean
}

class BrowserDevice implements Device {
  readonly name: string
  readonly person: Person
  readonly profile: BrowserProfile
  page: BrowserPage | undefined
  readonly #wallet: Wallet
  readonly #place: Place
  readonly #streamed = new Recorder<Shown>()
  #cursor = '0'

  constructor(person: Person, name: string, profile: BrowserProfile, wallet: Wallet, place: Place) {
    this.person = person
    this.name = name
    this.profile = profile
    this.#wallet = wallet
    this.#place = place
  }

  async prepare(): Promise<void> {
    await this.profile.expose('walletSign', (_address: string, message: string) => {
      this.#wallet.asked.count += 1
      return this.#wallet.sign(message)
    })
    await this.profile.expose('streamed', (message: Shown, cursor: string) => {
      this.#streamed.push(message)
      this.#cursor = cursor
    })
  }

  async open(): Promise<void> {
    const page = await this.profile.newPage()
    this.page = page
    await page.goto(this.#place.page)
    await this.#start(page)
  }

  /** A real reload: nothing is said to the client before. */
  async reload(): Promise<void> {
    const page = this.#open()
    await page.reload()
    await this.#start(page)
  }

  async close(): Promise<void> {
    await this.page?.close()
    this.page = undefined
  }

  async #start(page: BrowserPage): Promise<void> {
    const { node, inline } = this.#place
    const options = { address: this.person.address, node, inline, since: this.#cursor }
    await page.waitForFunction(() => window.page !== undefined)
    await page.evaluate((given) => window.page.open(given), options)
  }

  #open(): BrowserPage {
    if (!this.page) throw new Error(`${this.name} is closed`)
    return this.page
  }

  async send(to: Person, text: string, until: 'stored' | 'sent' = 'stored'): Promise<void> {
    await this.#open().evaluate(([peer, message, how]) => window.page.send(peer, message, how), [
      to.address,
      text,
      until,
    ] as const)
  }

  history(withPerson: Person, pageSize = 100): Promise<readonly Shown[]> {
    return this.#open().evaluate(([peer, limit]) => window.page.history(peer, limit), [
      withPerson.address,
      pageSize,
    ] as const)
  }

  settled(withPerson: Person, count: number): Promise<void> {
    return this.#open().evaluate(([peer, wanted]) => window.page.settled(peer, wanted), [
      withPerson.address,
      count,
    ] as const)
  }

  waiting(withPerson: Person, reason: string): Promise<void> {
    return this.#open().evaluate(([peer, why]) => window.page.waiting(peer, why), [
      withPerson.address,
      reason,
    ] as const)
  }

  reached(state: 'live' | 'offline'): Promise<void> {
    return this.#open().evaluate((wanted) => window.page.reached(wanted), state)
  }

  streamed(atLeast: number): Promise<readonly Shown[]> {
    return this.#streamed.atLeast(atLeast)
  }

  warnings(): Promise<Readonly<Record<string, number>>> {
    return this.#open().evaluate(() => window.page.warnings())
  }

  installationId(): Promise<string> {
    return this.#open().evaluate(() => window.page.installationId())
  }

  async signatures(): Promise<number> {
    return this.#wallet.asked.count
  }
}
