/** Everyone and everything of one simulation: the node, people, their devices, and time. */
import type { Transport } from '@connectrpc/connect'
import { createLog, observeByLog } from '../../node/src/observe/log.ts'
import { type Observer, observeAll, silentObserver } from '../../node/src/observe/observer.ts'
import { createInProcessNode, type InProcessNode, serveInProcess } from '../../node/src/testing.ts'
import type { Crypto } from '../../src/crypto/crypto.ts'
import { networkOver } from '../../src/network/connect.ts'
import type { Network } from '../../src/network/network.ts'
import { Chaos } from './chaos.ts'
import { Device } from './device.ts'
import type { Evidence } from './evidence.ts'
import { type Features, featuresOf } from './features.ts'
import type { Journal } from './journal.ts'
import { createPerson, type Person } from './people.ts'
import { Random } from './random.ts'
import { startMs } from './surroundings.ts'
import { readTruth } from './truth.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface WorldOptions {
  readonly time: VirtualTime
  readonly crypto: Crypto
  readonly journal: Journal
  readonly evidence?: Evidence | undefined
  /** Where the node keeps its data; in memory without one. */
  readonly nodeFile?: string | undefined
}

export class World {
  readonly seed: number
  readonly time: VirtualTime
  readonly crypto: Crypto
  readonly journal: Journal
  readonly chaos: Chaos
  readonly features: Features
  readonly people: readonly Person[]
  /** Collects what leaves the programs, where that is asked for. */
  readonly evidence: Evidence | undefined
  readonly devices: Device[] = []
  readonly #node: InProcessNode
  readonly #observer: Observer
  #serving: InProcessNode | undefined
  /** How wrong the node's clock is. */
  #nodeAheadMs = 0

  constructor(seed: number, { time, crypto, journal, evidence, nodeFile }: WorldOptions) {
    this.seed = seed
    this.time = time
    this.crypto = evidence ? evidence.secrets.watch(crypto) : crypto
    this.evidence = evidence
    this.journal = journal
    this.features = featuresOf(seed)
    journal.note(JSON.stringify(this.features))
    this.chaos = new Chaos(this.random('chaos'), journal, this.features)
    this.#observer = this.#observe()
    this.#node = createInProcessNode({
      clock: () => this.nodeNs,
      ...(nodeFile === undefined ? {} : { file: nodeFile }),
      observer: this.#observer,
    })
    this.#serving = this.#node
    const random = this.random('people')
    const count = random.between(3, 5)
    this.people = Array.from({ length: count }, (_, at) =>
      createPerson('ABCDE'[at] ?? `${at}`, random),
    )
  }

  random(stream: string): Random {
    return new Random(this.seed, stream)
  }

  /** The node's log as it is at its most talkative, and what should not happen in it. */
  #observe(): Observer {
    const write = (line: string) => this.evidence?.addText('lines', line)
    const log = observeByLog(createLog({ level: 'debug', destination: { write } }))
    const defects: Observer = {
      ...silentObserver,
      storageFailed: (reason) => this.journal.problem(`the node's store failed: ${reason}`),
      defect: (where) => this.journal.problem(`a defect of the node: ${where}`),
    }
    return this.evidence ? observeAll(log, defects) : defects
  }

  get nodeNs(): bigint {
    return BigInt(Math.floor(startMs + this.time.nowMs + this.#nodeAheadMs)) * 1_000_000n
  }

  readonly nodeTransport = (): Transport | undefined => this.#serving?.transport

  /** The node as it is, without weather. */
  get network(): Network {
    return networkOver(this.#node.transport)
  }

  /** The node's program ends and comes back later on the same data. */
  async restartNode(downMs: number): Promise<void> {
    if (!this.#serving) return
    this.journal.fault('node restarted', `for ${Math.round(downMs / 1_000)} s`)
    this.#serving.service.close()
    this.#serving = undefined
    await this.time.sleep(downMs)
    this.#nodeAheadMs = this.chaos.nodeClockAheadMs()
    this.#serving = serveInProcess(this.#node.store, { observer: this.#observer })
    this.journal.note(`the node is back, ${this.#nodeAheadMs} ms ahead`)
  }

  addDevice(person: Person): Device {
    const nth = this.devices.filter((device) => device.person === person).length + 1
    const device = new Device(this, person, `${person.name}${nth}`)
    this.devices.push(device)
    return device
  }

  /** The account takes an installation back, by another program than Padlock's. */
  async revoke(device: Device): Promise<void> {
    const registered = [...(await readTruth(this))].find(([id]) => id === device.installationId)
    if (!registered || registered[1].revokedNs !== undefined) return
    await this.network.publish([await device.person.revocation(registered[1].keys)])
  }

  /** Anyone puts anything into someone's inbox. */
  async litter(installationId: string, message: Uint8Array): Promise<void> {
    this.journal.fault('garbage', installationId)
    const topic = `message-${installationId}`
    // Refused where the installation is gone, which is as good.
    await this.network.publish([{ topic, message }]).catch(() => undefined)
  }

  async close(): Promise<void> {
    for (const device of this.devices) await device.close()
    await this.#node.close()
  }
}
