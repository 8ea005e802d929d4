/** Everyone and everything of one simulation: the node, people, their devices, and time. */
import type { Crypto } from '../../src/crypto/crypto.ts'
import { Chaos } from './chaos.ts'
import { Device } from './device.ts'
import type { Evidence } from './evidence.ts'
import { type Features, featuresOf, quietFeatures } from './features.ts'
import type { Journal } from './journal.ts'
import { createPerson, type Person } from './people.ts'
import { Random } from './random.ts'
import { SimulatedNode } from './simulated-node.ts'
import type { Stage } from './stage.ts'
import { Crowd } from './strangers/crowd.ts'
import { readTruth } from './truth.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface WorldOptions {
  readonly time: VirtualTime
  readonly crypto: Crypto
  readonly journal: Journal
  readonly evidence?: Evidence | undefined
  /** Where the node keeps its data; in memory without one. */
  readonly nodeFile?: string | undefined
  /**
   * A quiet day instead of a bad one, and how much of the node's allowance strangers use on it; 0 is
   * none of them.
   */
  readonly strangers?: number | undefined
}

export class World implements Stage {
  readonly seed: number
  readonly time: VirtualTime
  readonly crypto: Crypto
  readonly journal: Journal
  readonly chaos: Chaos
  readonly features: Features
  readonly people: readonly Person[]
  readonly evidence: Evidence | undefined
  readonly devices: Device[] = []
  readonly node: SimulatedNode
  readonly crowd: Crowd | undefined

  constructor(
    seed: number,
    { time, crypto, journal, evidence, nodeFile, strangers }: WorldOptions,
  ) {
    this.seed = seed
    this.time = time
    this.crypto = evidence ? evidence.secrets.watch(crypto) : crypto
    this.evidence = evidence
    this.journal = journal
    this.features = strangers === undefined ? featuresOf(seed) : quietFeatures(strangers > 0)
    journal.note(JSON.stringify(this.features))
    this.chaos = new Chaos(this.random('chaos'), journal, this.features)
    const { chaos, features } = this
    this.node = new SimulatedNode({ time, journal, chaos, features, evidence, file: nodeFile })
    if (strangers !== undefined && strangers > 0) {
      const { network } = this.node
      const random = this.random('strangers')
      this.crowd = new Crowd({ network, time, journal, random, share: strangers })
    }
    const random = this.random('people')
    const count = random.between(3, 5)
    this.people = Array.from({ length: count }, (_, at) =>
      createPerson('ABCDE'[at] ?? `${at}`, random),
    )
  }

  random(stream: string): Random {
    return new Random(this.seed, stream)
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
    await this.node.network.publish([await device.person.revocation(registered[1].keys)])
  }

  /** Anyone puts anything into someone's inbox. */
  async litter(installationId: string, message: Uint8Array): Promise<void> {
    this.journal.fault('garbage', installationId)
    const topic = `message-${installationId}`
    // Refused where the installation is gone, which is as good.
    await this.node.network.publish([{ topic, message }]).catch(() => undefined)
  }

  async close(): Promise<void> {
    for (const device of this.devices) await device.close()
    await this.node.close()
  }
}
