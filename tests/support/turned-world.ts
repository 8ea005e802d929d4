import type { PadlockError } from '../../src/errors.ts'
import type { ClaimedKey, Network, NodeFrame, OutgoingEnvelope } from '../../src/network/network.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { parseContactBundle } from '../../src/protocol/contact.ts'
import { buildMetadataPart } from '../../src/protocol/envelope.ts'
import {
  type Address,
  deriveInstallationId,
  type InstallationId,
  parseAddress,
} from '../../src/protocol/ids.ts'
import { headerSigningFields } from '../../src/protocol/signing-bytes.ts'
import { contactTopic, messageTopic } from '../../src/protocol/topics.ts'
import { tables } from '../../src/store/tables.ts'
import { turnedWaits } from './cheating-clock.ts'
import { addressOf, passed } from './checked.ts'
import { anEngineWorld, type EngineWorld } from './engine.ts'

/** Clocks that stand still unless the test turns them. */
export interface Clocks {
  /** The devices’ clock. */
  nowMs: number
  /** The node's clock, in milliseconds. */
  nodeMs: number
  monotonicMs: number
  /** Turns all of them. */
  turn(ms: number): void
  readonly platform: Partial<Platform>
}

/** A node and devices with clocks of their own; waits of half a minute or more end when they are turned. */
export const aTurnedWorld = async (): Promise<{ world: EngineWorld; clocks: Clocks }> => {
  const startMs = Date.UTC(2026, 10, 20)
  const clocks: Clocks = {
    nowMs: startMs,
    nodeMs: startMs,
    monotonicMs: 5_000,
    turn: (ms) => {
      clocks.nowMs += ms
      clocks.nodeMs += ms
      clocks.monotonicMs += ms
      endDue()
    },
    platform: {
      nowMs: () => clocks.nowMs,
      monotonicMs: () => clocks.monotonicMs,
      wait: (ms, signal) => wait(ms, signal),
    },
  }
  const { wait, endDue } = turnedWaits(() => clocks.monotonicMs)
  const world = await anEngineWorld({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  return { world, clocks }
}

/** A line between one engine and the node: what went over it, and what the test makes of it. */
export const aLine = () => {
  const line = {
    published: [] as (readonly OutgoingEnvelope[])[],
    queried: [] as (readonly string[])[],
    claimed: [] as { readonly claimId: Uint8Array; readonly ids: readonly string[] }[],
    subscribed: [] as (readonly string[])[],
    /** Requests that carried mail, by topic. */
    get mail(): readonly (readonly string[])[] {
      return line.published
        .map((envelopes) => envelopes.map(({ topic }) => topic))
        .filter(([topic]) => topic?.startsWith('message-'))
    },
    /** What queries fail with, and how many did. */
    fail: undefined as PadlockError | undefined,
    failed: 0,
    /** What a publish fails with; undefined lets it through. */
    refuse: (_envelopes: readonly OutgoingEnvelope[]): PadlockError | undefined => undefined,
    /** What becomes of the keys that a claim gave. */
    serve: (keys: readonly ClaimedKey[]): readonly ClaimedKey[] => keys,
    frame: async (frame: NodeFrame): Promise<NodeFrame | undefined> => frame,
    network: (real: Network): Network => ({
      ...real,
      publish: async (envelopes, signal) => {
        line.published.push(envelopes)
        const refusal = line.refuse(envelopes)
        if (refusal) throw refusal
        return real.publish(envelopes, signal)
      },
      query: async (topics, signal) => {
        line.queried.push(topics.map(({ topic }) => topic))
        if (line.fail) {
          line.failed += 1
          throw line.fail
        }
        return real.query(topics, signal)
      },
      claimPrekeys: async (claimId, ids, signal) => {
        line.claimed.push({ claimId, ids })
        return line.serve(await real.claimPrekeys(claimId, ids, signal))
      },
      async *subscribe(topics, proof, signal) {
        line.subscribed.push(topics.map(({ topic }) => topic))
        for await (const frame of real.subscribe(topics, proof, signal)) {
          const shown = await line.frame(frame)
          if (shown) yield shown
        }
      },
    }),
  }
  return line
}

/** An installation whose secrets are in the test's hands. */
export interface Insider {
  readonly address: Address
  readonly id: InstallationId
  readonly identity: Uint8Array
}

/** The installation of a database that no engine has open. */
export const insiderOf = async (world: EngineWorld, database: string): Promise<Insider> => {
  const store = await world.openStore(database)
  const identity = (await store.get(tables.identity, 'identity'))?.value
  await store.close()
  if (!identity) throw new Error('no identity')
  const id = passed(deriveInstallationId(identity))
  return { address: passed(parseAddress(identity.address)), id, identity: identity.state }
}

/** Envelopes from an insider to someone's newest installation, all on one new session. */
export const envelopesFrom = async (
  world: EngineWorld,
  from: Insider,
  to: { readonly address: string },
  payloads: readonly Uint8Array[],
): Promise<readonly OutgoingEnvelope[]> => {
  const { crypto, network } = world
  const topic = contactTopic(addressOf(to))
  const page = await network.query([{ topic, afterSequence: 0n }])
  const last = page.envelopes.at(-1)
  if (!last) throw new Error('no installation')
  const bundle = passed(parseContactBundle(last.message))
  const claimId = globalThis.crypto.getRandomValues(new Uint8Array(16))
  const [claimed] = await network.claimPrekeys(claimId, [bundle.installationId])
  if (!claimed?.prekey) throw new Error('no prekey')
  const [session] = crypto.createOutboundSessions(from.identity, [
    { identityKey: bundle.keys.curve25519, prekey: claimed.prekey.key },
  ])
  if (!session?.ok) throw new Error('no session')
  const fields = {
    senderAddress: from.address,
    senderInstallationId: from.id,
    recipientAddress: bundle.address,
    recipientInstallationId: bundle.installationId,
  }
  const [sealed] = crypto.seal(from.identity, [
    {
      state: session.state,
      sealingKey: bundle.sealingKey.key,
      recipientInstallationId: bundle.installationId,
      metadata: buildMetadataPart(fields),
      signingFields: headerSigningFields(fields),
      payloads,
    },
  ])
  if (!sealed?.ok) throw new Error('not sealed')
  const inbox = messageTopic(bundle.installationId)
  return sealed.envelopes.map(({ message }) => ({ topic: inbox, message }))
}
