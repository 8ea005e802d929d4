/** What all of one simulation share, apart from the devices: the node, people, time, chance, the record. */
import type { Crypto } from '../../src/crypto/crypto.ts'
import type { Chaos } from './chaos.ts'
import type { Evidence } from './evidence.ts'
import type { Features } from './features.ts'
import type { Journal } from './journal.ts'
import type { Person } from './people.ts'
import type { Random } from './random.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Stage {
  readonly time: VirtualTime
  readonly crypto: Crypto
  readonly journal: Journal
  readonly chaos: Chaos
  readonly features: Features
  /** Collects what leaves the programs, where that is asked for. */
  readonly evidence: Evidence | undefined
  readonly node: SimulatedNode
  readonly people: readonly Person[]
  /** Random numbers of the simulation's seed; of each name others. */
  random(stream: string): Random
}
