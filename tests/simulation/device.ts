/** An installation of an account: its database, its clock, and the program that runs, crashes and comes back. */

import { Engine } from '../../src/engine/engine.ts'
import type { ClientEvent, Message } from '../../src/engine/model.ts'
import { PadlockError } from '../../src/errors.ts'
import { networkOver } from '../../src/network/connect.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import { faultyTransport } from './faulty-transport.ts'
import { Life } from './life.ts'
import { Locks } from './locks.ts'
import type { Person } from './people.ts'
import { startMs } from './surroundings.ts'
import { Weather } from './weather.ts'
import type { World } from './world.ts'

/** What an honest node and honest peers never cause. */
const defects: ReadonlySet<string> = new Set([
  'internal',
  'storage_damaged',
  'bad_response',
  'incompatible_node',
  'unauthenticated_node',
  'node_withholding',
  'gap',
  'parking_full',
  'malformed',
  'bad_signature',
  'bad_proof',
  'clock_ahead',
])

/** Opening fails for these while the weather is bad; any other is a defect. */
const expectedAtOpening: ReadonlySet<string> = new Set([
  'network_unavailable',
  'unavailable',
  'rate_limited',
  'wallet_rejected',
  'storage_in_use',
  'aborted',
])

export class Device {
  readonly name: string
  readonly person: Person
  readonly database: string
  readonly weather: Weather
  readonly #world: World
  readonly #locks: Locks
  /** How wrong its clock is. */
  #clockAheadMs = 0
  #life: Life | undefined
  engine: Engine | undefined
  #isOpening = false
  /** Known once it was open. */
  installationId: string | undefined
  /** Virtual time of its revocation's publication. */
  isRevoked = false
  #online: (() => void) | undefined

  constructor(world: World, person: Person, name: string) {
    this.#world = world
    this.person = person
    this.name = name
    this.database = `database of ${name}`
    this.weather = new Weather(name, world.random(`weather ${name}`), world.journal)
    this.#locks = new Locks(world.time)
  }

  /** Whether its program runs. */
  get isOpen(): boolean {
    return this.engine !== undefined
  }

  set clockAheadMs(ms: number) {
    this.#clockAheadMs = ms
    this.#world.journal.fault('clock set', `${this.name} by ${Math.round(ms / 1_000)} s`)
  }

  /** Starts the program, unless it runs. */
  async open(): Promise<void> {
    if (this.engine || this.#isOpening) return
    const { journal, chaos } = this.#world
    this.#isOpening = true
    const commits = chaos.commitsOfALife()
    const life = new Life(commits, () => this.#crashed(life))
    this.#life = life
    try {
      const engine = await life.still(() => this.#start(life))
      // A crash on the last step of opening.
      if (life.isOver) return
      this.engine = engine
      if (this.installationId !== undefined && this.installationId !== engine.installationId) {
        journal.problem(`${this.name} is another installation now`)
      }
      this.installationId = engine.installationId
      journal.note(`${this.name}: open`)
    } catch (error) {
      this.#world.evidence?.addError(error)
      const code = codeOf(error)
      journal.note(`${this.name}: does not open, ${code}`)
      if (!expectedAtOpening.has(code)) {
        journal.problem(`${this.name} does not open: ${describe(error)}`)
      }
      if (this.#life === life) this.#life = undefined
    } finally {
      if (!life.isOver) this.#isOpening = false
    }
  }

  #start(life: Life): Promise<Engine> {
    const { time, journal, crypto, chaos, nodeTransport } = this.#world
    const transport = faultyTransport(nodeTransport, this.weather, time)
    const opened = Engine.open(
      {
        address: this.person.address,
        database: this.database,
        crypto,
        network: life.network(networkOver(transport)),
        platform: life.platform(this.#platform()),
        openStore: async (onLost) => life.store(await openIdbStore(this.database, crypto, onLost)),
        signText: (text) => life.still(() => this.person.sign(text, chaos)),
        emit: (event) => {
          this.#world.evidence?.addEvent(event)
          if (!life.isOver) this.#heard(event)
        },
      },
      new AbortController().signal,
    )
    opened.catch(() => undefined)
    journal.note(`${this.name}: opens`)
    return opened
  }

  #platform(): Platform {
    const { time } = this.#world
    const random = this.#world.random(`${this.name} ${time.nowMs}`)
    return {
      nowMs: () => Math.floor(startMs + time.nowMs + this.#clockAheadMs),
      monotonicMs: () => time.nowMs,
      randomBytes: (length) => random.bytes(length),
      wait: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve()
          const finish = () => {
            cancel()
            signal?.removeEventListener('abort', finish)
            resolve()
          }
          const cancel = time.after(ms, finish)
          signal?.addEventListener('abort', finish, { once: true })
        }),
      takeLock: (_name, waitMs) => this.#locks.take(waitMs),
      onOnline: (listener) => {
        this.#online = listener
        return () => {
          if (this.#online === listener) this.#online = undefined
        }
      },
    }
  }

  #heard(event: ClientEvent): void {
    const { journal } = this.#world
    switch (event.kind) {
      case 'status': {
        const warnings = event.status.warnings.map(({ code, count }) => `${code} ${count}`)
        journal.note(`${this.name}: ${event.status.state} ${warnings.join(', ')}`)
        const newest = event.status.warnings.at(-1)
        if (newest && defects.has(newest.code)) {
          journal.problem(`${this.name} warns of ${newest.code}`)
        }
        return
      }
      case 'message-state':
        journal.note(`${this.name}: ${event.message.content} is ${event.message.state}`)
        return
      case 'installation-added':
      case 'installation-revoked':
        journal.note(`${this.name}: ${event.kind} ${event.installation.id}`)
        return
      case 'envelopes':
        journal.note(`${this.name}: ${event.count} ${event.outcome} ${event.code}`)
        if (event.outcome !== 'duplicate' && event.code !== 'sender_revoked') {
          journal.problem(`${this.name}: ${event.count} ${event.outcome} (${event.code})`)
        }
        return
      default:
    }
  }

  #crashed(life: Life): void {
    if (this.#life !== life) return
    this.#world.journal.fault('crash', this.name)
    this.#forget()
    this.#locks.free()
  }

  #forget(): void {
    this.#life = undefined
    this.engine = undefined
    this.#isOpening = false
  }

  /** Ends at once, without a goodbye. */
  kill(): void {
    this.#life?.crash()
  }

  /** No more crashes of their own accord. */
  spare(): void {
    this.#life?.spare()
  }

  /** Ends as a page does that is closed. */
  async close(): Promise<void> {
    const { engine } = this
    if (!engine) return
    this.#world.journal.note(`${this.name}: closes`)
    this.#forget()
    await engine.close()
  }

  /**
   * Another tab takes the database over while the old one still runs: the lock is gone, and the old
   * tab does not know it yet.
   */
  async takeOver(): Promise<void> {
    if (!this.engine) return
    this.#world.journal.fault('taken over', this.name)
    this.#forget()
    this.#locks.steal(this.#world.chaos.staleMs())
    await this.open()
  }

  comeOnline(): void {
    this.#online?.()
  }

  /** Writes to someone. @returns the message if it was stored */
  async send(to: Person, text: string): Promise<Message | undefined> {
    const { engine } = this
    const life = this.#life
    if (!engine || !life) return undefined
    try {
      return await life.still(async () => {
        const conversation = await engine.conversation(to.address)
        return engine.send(conversation.id, text)
      })
    } catch (error) {
      this.#world.evidence?.addError(error)
      const code = codeOf(error)
      this.#world.journal.note(`${this.name}: does not send ${text}, ${code}`)
      // Whoever lost the database says so; nobody else may refuse a message.
      if (this.#life === life) {
        this.#world.journal.problem(`${this.name} does not send: ${describe(error)}`)
      }
      return undefined
    }
  }
}

const codeOf = (error: unknown): string =>
  error instanceof PadlockError ? error.code : error instanceof Error ? error.name : 'unknown'

const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.stack ?? error.cause.message})` : ''
  return `${codeOf(error)}: ${error.message}${cause}`
}
