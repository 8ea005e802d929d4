/** Two who talk, and what their payloads say of heads. */

import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { expect, onTestFinished, vi } from 'vitest'
import {
  type PadlockMessagePayload,
  PadlockMessagePayloadSchema,
} from '../../../src/gen/padlock/v1/message_pb.ts'
import type { Network, NodeEnvelope } from '../../../src/network/network.ts'
import { emptyHead, nextHead } from '../../../src/protocol/heads.ts'
import { digestEnvelope } from '../../../src/protocol/ids.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  never,
  type Opened,
  type OpenOptions,
  untilState,
} from '../../support/engine.ts'

export const accusations = ({ events }: Opened) =>
  events.filter((event) => event.kind === 'node-accused')

/** H(n) of a topic, as the node has it. */
export const chainOf = async ({ network }: EngineWorld, topic: string) => {
  const { envelopes } = await network.query([{ topic, afterSequence: 0n }])
  let head = emptyHead
  return [head, ...envelopes.map(({ message }) => (head = nextHead(head, digestEnvelope(message))))]
}

/** Every payload goes through `change` before it is sealed. */
export const watchPayloads = (
  { crypto }: EngineWorld,
  change: (payload: PadlockMessagePayload) => void = () => undefined,
) => {
  const seen: PadlockMessagePayload[] = []
  const seal = crypto.seal.bind(crypto)
  const spy = vi.spyOn(crypto, 'seal')
  onTestFinished(() => spy.mockRestore())
  spy.mockImplementation((identity, requests) =>
    seal(
      identity,
      requests.map((request) => ({
        ...request,
        payloads: request.payloads.map((bytes) => {
          const payload = fromBinary(PadlockMessagePayloadSchema, bytes)
          change(payload)
          seen.push(payload)
          return toBinary(PadlockMessagePayloadSchema, payload)
        }),
      })),
    ),
  )
  /** How many heads each payload since the last call told, sorted. */
  return {
    seen,
    take: () =>
      seen
        .splice(0)
        .map(({ heads }) => heads.length)
        .sort(),
  }
}

/** What a node does to the envelopes that one person reads. */
export const rewrite =
  (change: (envelope: NodeEnvelope) => readonly NodeEnvelope[]) =>
  (real: Network): Network => ({
    ...real,
    query: async (topics, signal) => {
      const page = await real.query(topics, signal)
      return { ...page, envelopes: page.envelopes.flatMap(change) }
    },
    async *subscribe(topics, proof, signal) {
      for await (const frame of real.subscribe(topics, proof, signal)) {
        yield frame.kind === 'envelopes'
          ? { ...frame, envelopes: frame.envelopes.flatMap(change) }
          : frame
      }
    },
  })

/** Heads of accounts that were not accepted say nothing. */
export const accept = ({ engine }: Opened, { address }: { readonly address: string }) =>
  engine.setConsent(address, 'allowed')

/** Alice and Bob, live, with a conversation, who have accepted each other. */
export const aPair = async (forAlice: Partial<OpenOptions> = {}) => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = { alice: freshDatabase(), bob: freshDatabase() }
  const openAlice = () => world.open({ account: alice, database: databases.alice, ...forAlice })
  const [atAlice, atBob] = [
    await openAlice(),
    await world.open({ account: bob, database: databases.bob }),
  ]
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atBob.engine.conversation(alice.address)
  await accept(atAlice, bob)
  await accept(atBob, alice)
  return { world, alice, bob, databases, openAlice, atAlice, atBob, id }
}

export const say = async ({ engine }: Opened, id: string, text: string): Promise<void> => {
  const message = await engine.send(id, text)
  expect((await engine.whenSent(message.id, never)).state).toBe('sent')
}

export const untilHas = async ({ engine }: Opened, id: string, text: string): Promise<void> => {
  for (let after = '0'; ; ) {
    const page = await engine.nextMessages(after, id, never)
    if (page.messages.some(({ content }) => content === text)) return
    after = page.cursor
  }
}
