/** Contract accounts on a real chain, which starts before the tests of a file and ends after them. */

import type { Hex, PrivateKeyAccount } from 'viem'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import { type Chains as NodeChains, openChains } from '../../node/src/chains/chains.ts'
import { chainsFrom } from '../../src/chains/chain-option.ts'
import type { Chains, ContractQuestion } from '../../src/chains/chains.ts'
import type { Network, NodeEnvelope } from '../../src/network/network.ts'
import { contactTopic, revokedTopic } from '../../src/protocol/topics.ts'
import { addressOf } from './checked.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  never,
  type Opened,
  type OpenOptions,
  untilState,
} from './engine.ts'
import { type LocalChain, startLocalChain } from './local-chain.ts'

export let chain: LocalChain
beforeAll(async () => {
  chain = await startLocalChain()
  // Compiles the contracts, which takes its time once.
  await chain.deploy('WalletFactory')
})
afterAll(() => chain.close())

/** A node that asks the chain; or one that takes whatever it is given. */
export const aWorld = async ({ isCheating = false } = {}): Promise<EngineWorld> => {
  const honest = openChains(new Map([[chain.id, chain.url]]))
  onTestFinished(() => honest.close())
  const cheating: NodeChains = { ...honest, verify: async () => 'valid' }
  return anEngineWorld({ chains: isCheating ? cheating : honest })
}

/** The chain as a client asks it, with what it was asked. */
export const askable = (): Chains & { readonly asked: ContractQuestion[] } => {
  const chains = chainsFrom({ [Number(chain.id)]: chain.url }, { timeoutMs: 30_000 })
  const asked: ContractQuestion[] = []
  return {
    ids: chains.ids,
    asked,
    verify: (question, signal) => {
      asked.push(question)
      return chains.verify(question, signal)
    },
  }
}

/** The owner as its contract account: the address is the contract's, the signature the owner's. */
export const asContract = (owner: PrivateKeyAccount, address: string): PrivateKeyAccount => ({
  ...owner,
  address: address as Hex,
})

export const openLive = async (world: EngineWorld, options: OpenOptions): Promise<Opened> => {
  const opened = await world.open(options)
  await untilState(opened, 'live')
  return opened
}

export const openContract = (
  world: EngineWorld,
  account: PrivateKeyAccount,
  database = freshDatabase(),
) => openLive(world, { account, database, contractChainId: chain.id, chains: askable() })

/** A deployed contract account with one device, and someone with an ordinary one who knows the chain. */
export const aCouple = async (world: EngineWorld) => {
  const owner = anAccount()
  const safe = asContract(owner, await chain.deployWallet(owner.address))
  const atSafe = await openContract(world, safe)
  const bob = anAccount()
  const database = freshDatabase()
  const openBob = (chains: Chains = askable(), more: Partial<OpenOptions> = {}) =>
    openLive(world, { account: bob, database, chains, ...more })
  return { owner, safe, atSafe, bob, openBob }
}

export const statesOf = async ({ engine }: Opened, address: string): Promise<string[]> =>
  (await engine.installations(address)).map(({ state }) => state)

export const stateOf = async ({ engine }: Opened, address: string, id: string) =>
  (await engine.installations(address)).find((one) => one.id === id)?.state

export const textsOf = async ({ engine }: Opened, id: string) =>
  (await engine.history(id, undefined, 100)).map(({ content }) => content).reverse()

export const say = async ({ engine }: Opened, id: string, text: string) => {
  const { id: message } = await engine.send(id, text)
  expect((await engine.whenSent(message, never)).state).toBe('sent')
}

export const topicOf = async (
  world: EngineWorld,
  topic: string,
): Promise<readonly NodeEnvelope[]> =>
  (await world.network.query([{ topic, afterSequence: 0n }])).envelopes

/** Serves these on a topic, and only these, whatever the node has; more may be added later. */
export const serving =
  (lists: ReadonlyMap<string, readonly Uint8Array[]>) =>
  (real: Network): Network => {
    const own = (topic: string, after: bigint): readonly NodeEnvelope[] =>
      (lists.get(topic) ?? []).flatMap((message, at) =>
        BigInt(at) < after
          ? []
          : [{ topic, message, sequence: BigInt(at + 1), nodeNs: BigInt(at + 1) }],
      )
    const lies = (positions: Parameters<Network['query']>[0]) =>
      positions.flatMap(({ topic, afterSequence }) => own(topic, afterSequence))
    const honest = (envelopes: readonly NodeEnvelope[]) =>
      envelopes.filter(({ topic }) => !lists.has(topic))
    return {
      ...real,
      query: async (positions, signal) => {
        const page = await real.query(positions, signal)
        return { ...page, envelopes: [...lies(positions), ...honest(page.envelopes)] }
      },
      subscribe: async function* (positions, proof, signal) {
        for await (const frame of real.subscribe(positions, proof, signal)) {
          if (frame.kind === 'caught_up') yield { kind: 'envelopes', envelopes: lies(positions) }
          if (frame.kind !== 'envelopes') yield frame
          else yield { ...frame, envelopes: honest(frame.envelopes) }
        }
      },
    }
  }

/** The bundles and revocations of an account at a node. */
export const publishedBy = async (world: EngineWorld, account: { readonly address: string }) => {
  const address = addressOf(account)
  const bytes = async (topic: string) => (await topicOf(world, topic)).map(({ message }) => message)
  return {
    bundles: await bytes(contactTopic(address)),
    revocations: await bytes(revokedTopic(address)),
  }
}
