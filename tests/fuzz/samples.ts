/**
 * Honest requests of every RPC, from accounts whose keys and signatures are real: what the harness
 * sends as they are, and what it damages. The same seed and number give the same request, up to the
 * node's id and the times in it.
 */
import { create, type DescMessage, type Message } from '@bufbuild/protobuf'
import {
  ClaimPrekeysRequestSchema,
  GetInfoRequestSchema,
  type PublishEnvelope,
  PublishEnvelopeSchema,
  PublishRequestSchema,
  QueryRequestSchema,
  SubscribeRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import { bytesFor, minuteNs, revocation, TestInstallation, testAccount } from '../node/support.ts'
import type { seededRandom } from '../support/random.ts'

export type Random = ReturnType<typeof seededRandom>

export const rpcs = ['Publish', 'Query', 'Subscribe', 'ClaimPrekeys', 'GetInfo'] as const
export type Rpc = (typeof rpcs)[number]

/** The message that each RPC takes. */
export const requestSchemas: { readonly [rpc in Rpc]: DescMessage } = {
  Publish: PublishRequestSchema,
  Query: QueryRequestSchema,
  Subscribe: SubscribeRequestSchema,
  ClaimPrekeys: ClaimPrekeysRequestSchema,
  GetInfo: GetInfoRequestSchema,
}

/** What stands in every message and must never come out of the node but as an envelope. */
export const canary = 'padlock-fuzz-canary'

/** Topics that anything can lie on in the end, and who may read those that are private. */
export class FuzzWorld {
  readonly nodeId: Uint8Array
  readonly seed: number
  /** Registered before the first request, so that envelopes to them are accepted. */
  readonly residents: readonly TestInstallation[]
  /** Installations that requests named for the first time. */
  readonly newcomers = new Map<string, TestInstallation>()
  readonly #startNs: bigint
  readonly #startMs = performance.now()

  constructor(seed: number, nodeId: Uint8Array, nodeNs: bigint) {
    this.seed = seed
    this.nodeId = nodeId
    this.#startNs = nodeNs
    this.residents = Array.from({ length: 6 }, (_, n) => {
      const account = testAccount(`fuzz ${seed} resident ${n >> 1}`)
      return new TestInstallation(account, `fuzz ${seed} resident ${n}`)
    })
  }

  /** The node's clock, nearly. */
  nowNs(): bigint {
    return this.#startNs + BigInt(Math.round((performance.now() - this.#startMs) * 1e6))
  }

  newcomer(index: number): TestInstallation {
    const name = `fuzz ${this.seed} newcomer ${index}`
    const known = this.newcomers.get(name)
    if (known !== undefined) return known
    const installation = new TestInstallation(testAccount(name), name)
    this.newcomers.set(name, installation)
    return installation
  }

  proofs(installations: readonly TestInstallation[]) {
    return installations.map((one) => one.proof(this.nodeId, this.nowNs() + 5n * minuteNs))
  }
}

export interface Sample {
  readonly rpc: Rpc
  readonly message: Message
  /** Whether a node must accept it, whatever came before. */
  readonly certain: boolean
}

type Envelope = Pick<PublishEnvelope, 'topic' | 'message'>

const publishing = (certain: boolean, envelopes: readonly Envelope[]): Sample => ({
  rpc: 'Publish',
  certain,
  message: create(PublishRequestSchema, {
    envelopes: envelopes.map((envelope) => create(PublishEnvelopeSchema, envelope)),
  }),
})

const mailTo = (to: TestInstallation, name: string, length: number): Envelope => {
  const message = new Uint8Array(length)
  message.set(Buffer.from(`${canary} ${name}`).subarray(0, length))
  return { topic: to.inbox, message }
}

/** Every kind of honest request; the number makes each one new. */
export async function honestSample(
  world: FuzzWorld,
  random: Random,
  index: number,
): Promise<Sample> {
  const resident = random.pick(world.residents)
  const nowNs = world.nowNs()
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2: {
      const length = random.pick([64, 200, 1_000, 4_000])
      return publishing(true, [mailTo(resident, `${world.seed} ${index}`, length)])
    }
    case 3: {
      const count = 2 + random.below(19)
      const envelopes = Array.from({ length: count }, (_, n) =>
        mailTo(random.pick(world.residents), `${world.seed} ${index} ${n}`, 100 + n),
      )
      return publishing(true, envelopes)
    }
    case 4: {
      const one = world.newcomer(index)
      const upload = one.upload({ createdNs: nowNs, oneTime: 1 + random.below(5), fallback: true })
      return publishing(true, [await one.bundle(nowNs), upload])
    }
    case 5: {
      const one = world.newcomer(index)
      const bundle = await one.bundle(nowNs)
      return publishing(true, [bundle, await revocation(one.account, [one])])
    }
    case 6:
      return publishing(false, [await resident.bundle(nowNs)])
    case 7: {
      const options = { oneTime: 1 + random.below(4), fallback: true, replace: random.chance(0.8) }
      return publishing(false, [resident.upload({ createdNs: nowNs, ...options })])
    }
    case 8:
    case 9:
    case 10:
      return reading(world, random, random.chance(0.7) ? 'Query' : 'Subscribe')
    case 11:
    case 12: {
      const claimId = bytesFor(`claim ${world.seed} ${index}`).subarray(0, 16)
      const installationIds = world.residents
        .filter(() => random.chance(0.5))
        .map((installation) => installation.id)
      const message = create(ClaimPrekeysRequestSchema, { claimId, installationIds })
      return { rpc: 'ClaimPrekeys', certain: true, message }
    }
    default:
      return { rpc: 'GetInfo', certain: true, message: create(GetInfoRequestSchema) }
  }
}

function reading(world: FuzzWorld, random: Random, rpc: 'Query' | 'Subscribe'): Sample {
  const owners = world.residents.filter(() => random.chance(0.4))
  const proofs = world.proofs(owners)
  // From near the end: replaying everything each time would measure something else.
  const afterSequence = BigInt(random.pick([1_000_000_000, 1_000_000_000, 0]))
  const names = world.residents.flatMap(({ account }) => [
    `contact-${account.address}`,
    `revoked-${account.address}`,
  ])
  const topics = [...new Set([...names, ...owners.map(({ inbox }) => inbox)])].map((topic) => ({
    topic,
    afterSequence,
  }))
  const message =
    rpc === 'Query'
      ? create(QueryRequestSchema, { topics, proofs, limit: random.pick([0, 1, 20]) })
      : create(SubscribeRequestSchema, { topics, proofs })
  return { rpc, certain: true, message }
}

/** What the residents publish first; each of them is one request. */
export const registrations = (world: FuzzWorld): Promise<Sample>[] =>
  world.residents.map(async (one) => {
    const createdNs = world.nowNs()
    const upload = one.upload({ createdNs, oneTime: 50, fallback: true })
    return publishing(true, [await one.bundle(createdNs), upload])
  })

/** A letter whose length, and with it what a node must say, is given. */
export const letters = (world: FuzzWorld, lengths: readonly number[], name: string): Sample =>
  publishing(
    false,
    lengths.map((length, n) => mailTo(world.residents[n % 2] ?? world.newcomer(0), name, length)),
  )

/** One envelope of any topic and size. */
export const stray = (topic: string, length: number): Sample =>
  publishing(false, [{ topic, message: new Uint8Array(length).fill(0x0a) }])
