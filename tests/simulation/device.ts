/** An installation of an account: its database, its clock, and the program that runs, crashes and comes back. */
import { Engine } from '../../src/engine/engine.ts'
import type { Message } from '../../src/engine/model.ts'
import { networkOver } from '../../src/network/connect.ts'
import { revokedTopic } from '../../src/protocol/topics.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import { copyDatabase } from '../support/databases.ts'
import { devicePlatform } from './device-platform.ts'
import { codeOf, describeError } from './errors.ts'
import { faultyTransport } from './faulty-transport.ts'
import { hearEvent } from './hearing.ts'
import { hideTopic } from './hidden-topic.ts'
import { Life } from './life.ts'
import { Locks } from './locks.ts'
import type { Person } from './people.ts'
import type { Stage } from './stage.ts'
import { Weather } from './weather.ts'

/** Opening fails for these while the weather is bad; any other is a defect. */
const expectedAtOpening: ReadonlySet<string> = new Set([
  'network_unavailable',
  'unavailable',
  'rate_limited',
  'wallet_rejected',
  'storage_in_use',
])

const never = new AbortController().signal

export class Device {
  readonly name: string
  readonly person: Person
  readonly weather: Weather
  readonly #world: Stage
  readonly #locks: Locks
  #clockAheadMs = 0
  #life: Life | undefined
  #isOpening = false
  #online: (() => void) | undefined
  #databases = 1
  /** The tab whose database was taken over last. */
  #stale: { readonly engine: Engine; readonly life: Life | undefined } | undefined
  #copy: { readonly database: string; readonly atMs: number } | undefined
  engine: Engine | undefined
  /** Known once it was open. */
  installationId: string | undefined
  /** All that it ever was: it makes new keys when it was revoked. */
  readonly installationIds = new Set<string>()
  /** Its account wanted it revoked; nobody writes on it any more. */
  isGivenUp = false
  /** A thief has it: it learns of no revocation of its own account, and goes on. */
  isRogue = false
  /** Makes new keys at the next start if it was revoked. */
  renews = false
  /** Spans of its life, in virtual time, that it does not remember any more. */
  readonly forgotten: { readonly fromMs: number; readonly toMs: number }[] = []

  constructor(world: Stage, person: Person, name: string) {
    this.#world = world
    this.person = person
    this.name = name
    this.weather = new Weather(name, world.random(`weather ${name}`), world.journal)
    this.#locks = new Locks(world.time)
  }

  /** Whether its program runs. */
  get isOpen(): boolean {
    return this.engine !== undefined
  }

  get database(): string {
    return `database ${this.#databases} of ${this.name}`
  }

  /** How wrong its clock is. */
  get clockAheadMs(): number {
    return this.#clockAheadMs
  }

  set clockAheadMs(ms: number) {
    this.#clockAheadMs = ms
    this.#world.journal.fault('clock set', `${this.name} by ${Math.round(ms / 1_000)} s`)
  }

  /** Records that the program read from its storage since it was started. */
  get recordsRead(): number {
    return this.#life?.recordsRead ?? 0
  }

  /** Starts the program, unless it runs. */
  async open(): Promise<void> {
    if (this.engine || this.#isOpening) return
    const { journal, chaos, evidence } = this.#world
    this.#isOpening = true
    const life = new Life(this.name, chaos, () => this.#crashed(life))
    this.#life = life
    try {
      const engine = await life.still(() => this.#start(life))
      await life.still(() => this.#acceptEverybody(engine))
      this.engine = engine
      this.#opened(engine.installationId)
    } catch (error) {
      evidence?.addError(error)
      const code = codeOf(error)
      journal.note(`${this.name}: does not open, ${code}`)
      const isStorage = life.hadFaults && code.startsWith('storage_')
      if (!expectedAtOpening.has(code) && !isStorage) {
        journal.problem(`${this.name} does not open: ${describeError(error)}`)
      }
      if (this.#life === life) this.#life = undefined
    } finally {
      this.#isOpening = false
    }
  }

  /** People here know each other: of those who do not, another story tells. */
  async #acceptEverybody(engine: Engine): Promise<void> {
    for (const { address } of this.#world.people) {
      if (address === this.person.address) continue
      // The storage may fail; what is accepted already costs nothing.
      for (let isDone = false; !isDone; ) {
        isDone = await engine.setConsent(address, 'allowed').then(
          () => true,
          (error: unknown) => codeOf(error) === 'leadership_lost' || codeOf(error) === 'closed',
        )
      }
    }
  }

  #opened(id: string): void {
    const { journal } = this.#world
    journal.note(`${this.name}: open`)
    const isFormer = this.forgotten.length > 0 && this.installationIds.has(id)
    if (this.installationId !== undefined && this.installationId !== id && isFormer) {
      // An older copy of itself, from before it was revoked and made new keys.
      journal.note(`${this.name}: is its former installation`)
      this.isGivenUp = true
      this.renews = false
    } else if (this.installationId !== undefined && this.installationId !== id) {
      if (!this.renews) journal.problem(`${this.name} is another installation now`)
      journal.fault('renewed', this.name)
      this.isGivenUp = false
      this.renews = false
    }
    this.installationId = id
    this.installationIds.add(id)
  }

  #start(life: Life): Promise<Engine> {
    const { time, journal, crypto, chaos, node, evidence } = this.#world
    const transport = faultyTransport(node.transport, this.weather, time)
    const { database } = this
    journal.note(`${this.name}: opens`)
    return Engine.open(
      {
        address: this.person.address,
        lock: `padlock ${database}`,
        crypto,
        renew: this.renews,
        network: life.network(
          hideTopic(networkOver(transport), revokedTopic(this.person.address), () => this.isRogue),
        ),
        platform: life.platform(
          devicePlatform({
            time,
            random: this.#world.random(`${this.name} ${time.nowMs}`),
            clockAheadMs: () => this.#clockAheadMs,
            locks: this.#locks,
            onReturn: (listener) => {
              this.#online = listener
            },
          }),
        ),
        openStore: async (onLost, onLostRecord) =>
          life.store(await openIdbStore(database, crypto, onLost, onLostRecord)),
        signText: (text) => life.still(() => this.person.sign(text, chaos)),
        emit: (event) => {
          evidence?.addEvent(event)
          if (!life.isOver) hearEvent(this.#world, this, event)
        },
      },
      never,
    )
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
    // Whoever crashes does not close.
    this.#life?.spare()
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
    this.#stale = { engine: this.engine, life: this.#life }
    this.#forget()
    this.#locks.steal(this.#world.chaos.staleMs())
    await this.open()
  }

  /** Writes in the old tab, which may have lost its database by now. */
  async sendFromStaleTab(to: Person, text: string): Promise<Message | undefined> {
    const { engine, life } = this.#stale ?? {}
    if (!engine || !life) return undefined
    try {
      return await life.still(() => sendFrom(engine, to, text))
    } catch (error) {
      this.#world.journal.note(`${this.name}: the old tab does not send, ${codeOf(error)}`)
      return undefined
    }
  }

  /** Copies the database, as a backup does. */
  async backUp(): Promise<void> {
    if (!this.engine) return
    const closing = this.close()
    this.#isOpening = true
    await closing
    const { time, journal } = this.#world
    const database = `copy ${this.#databases} of ${this.name} at ${Math.floor(time.nowMs)}`
    journal.note(`${this.name}: ${database}`)
    await copyDatabase(this.database, database)
    this.#copy = { database, atMs: time.nowMs }
    this.#isOpening = false
    await this.open()
  }

  /** Puts the copy back: what came after it is forgotten. */
  async restore(): Promise<void> {
    const { time, journal } = this.#world
    const copy = this.#copy
    if (!copy || this.#isOpening) return
    this.kill()
    journal.fault('restored', this.name)
    this.#isOpening = true
    this.#databases += 1
    this.forgotten.push({ fromMs: copy.atMs, toMs: time.nowMs })
    await copyDatabase(copy.database, this.database)
    this.#isOpening = false
    await this.open()
  }

  comeOnline(): void {
    this.#online?.()
  }

  /** Writes to someone. @returns the message if it was stored */
  async send(to: Person, text: string): Promise<Message | undefined> {
    return this.#ask(`send ${text}`, (engine) => sendFrom(engine, to, text))
  }

  /** Takes another device of the same account back. */
  async revoke(device: Device): Promise<void> {
    const id = device.installationId
    if (id === undefined) return
    await this.#ask(`revoke ${device.name}`, (engine) => engine.revoke([id], never), true)
  }

  /** Asks the program for something; what fails for good reasons is only noted. */
  async #ask<T>(
    what: string,
    ask: (engine: Engine) => Promise<T>,
    needsNode = false,
  ): Promise<T | undefined> {
    const { engine } = this
    const life = this.#life
    if (!engine || !life) return undefined
    try {
      return await life.still(() => ask(engine))
    } catch (error) {
      const { journal, evidence } = this.#world
      evidence?.addError(error)
      const code = codeOf(error)
      journal.note(`${this.name}: does not ${what}, ${code}`)
      // Whoever lost the database or was closed meanwhile says so.
      const isGone = this.#life !== life
      const isStorage = life.hadFaults && code.startsWith('storage_')
      const isRevoked = code === 'revoked' && engine.status.state === 'revoked'
      if (!isGone && !isStorage && !isRevoked && !(needsNode && expectedAtOpening.has(code))) {
        journal.problem(`${this.name} does not ${what}: ${describeError(error)}`)
      }
      return undefined
    }
  }
}

const sendFrom = async (engine: Engine, to: Person, text: string): Promise<Message> => {
  const conversation = await engine.conversation(to.address)
  return engine.send(conversation.id, text)
}
