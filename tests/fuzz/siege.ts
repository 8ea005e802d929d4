/**
 * A node besieged: strangers do their worst to it, and one honest caller is among them. What is watched is the
 * memory of the node, and whether the honest one is served.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { create, toBinary } from '@bufbuild/protobuf'
import { createGrpcTransport } from '@connectrpc/connect-node'
import {
  PublishRequestSchema,
  QueryRequestSchema,
  SubscribeRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  type TestInstallation,
} from '../node/support.ts'
import { type FuzzNode, startFuzzNode } from './fuzz-node.ts'
import type { Arms } from './siege-strangers.ts'

const mebibyte = 1024 * 1024

export interface SiegeOptions {
  readonly callers: number
  readonly seconds: number
  /** The node's own options. */
  readonly args?: readonly string[]
  /** Instead of a folder. */
  readonly database?: string
  readonly log?: (line: string) => void
}

export interface SiegeReport {
  readonly startMiB: number
  readonly peakMiB: number
  /** How long the honest caller waited for each of its turns, in milliseconds, in order of length. */
  readonly turnsMs: readonly number[]
  /** Turns of the honest caller that failed. */
  readonly failed: number
  readonly node: FuzzNode
}

/** The node is the caller's to close. */
export async function besiege(options: SiegeOptions): Promise<SiegeReport> {
  const { callers, seconds, args = [], database, log = () => {} } = options
  const node = await startFuzzNode({
    args: ['--limit-local', 'yes', '--trust-proxy', '1', ...args],
    ...(database !== undefined && { database }),
  })
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  const { nodeId, nodeNs } = await client.getInfo({})
  const honest = await register(client, 'honest', nodeNs)
  const bob = await register(client, 'bob', nodeNs)
  const startMiB = node.memory()
  for (let n = 0; n < 4; n += 1) {
    await client.publish({ envelopes: [inboxEnvelope(bob, `letter ${n}`, mebibyte - 1024)] })
  }
  const startedAtMs = performance.now()
  const arm = () => {
    const passedNs = BigInt(Math.round(performance.now() - startedAtMs)) * 1_000_000n
    return readingOf(bob, nodeId, nodeNs + passedNs)
  }
  const arms: Arms = {
    ...arm(),
    publish: largeRequestTo(bob),
    url: node.url,
    callers,
    installationId: bob.id,
  }
  const strangers = new Worker(new URL('./siege-strangers.ts', import.meta.url), {
    workerData: arms,
  })

  const turnsMs: number[] = []
  let failed = 0
  let peakMiB = startMiB
  const measuring = setInterval(() => {
    peakMiB = Math.max(peakMiB, node.memory())
  }, 100)
  const untilMs = performance.now() + seconds * 1_000
  const arming = setInterval(() => strangers.postMessage(arm()), 60_000)
  for (let turn = 0; performance.now() < untilMs && node.alive; turn += 1) {
    const startedMs = performance.now()
    const answered = await takeTurn(client, honest, turn).catch(() => false)
    const tookMs = performance.now() - startedMs
    if (answered) turnsMs.push(tookMs)
    else failed += 1
    log(
      `${node.memory()} MiB, turn ${turn} ${answered ? 'served' : 'failed'}, ${Math.round(tookMs)} ms`,
    )
    await wait(1_000)
  }
  clearInterval(measuring)
  clearInterval(arming)
  await strangers.terminate()
  return { startMiB, peakMiB, turnsMs: turnsMs.sort((a, b) => a - b), failed, node }
}

/** Requests for bob's large letters, with a proof that holds for five minutes. */
function readingOf(
  bob: TestInstallation,
  nodeId: Uint8Array,
  nowNs: bigint,
): Pick<Arms, 'query' | 'subscribe'> {
  const reading = {
    topics: [{ topic: bob.inbox, afterSequence: 0n }],
    proofs: [bob.proof(nodeId, nowNs + 5n * minuteNs)],
  }
  return {
    query: toBinary(QueryRequestSchema, create(QueryRequestSchema, reading)),
    subscribe: toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, reading)),
  }
}

function largeRequestTo(bob: TestInstallation): Uint8Array {
  const envelopes = Array.from({ length: 24 }, (_, n) =>
    inboxEnvelope(bob, `large ${n}`, mebibyte - 1024),
  )
  return toBinary(PublishRequestSchema, create(PublishRequestSchema, { envelopes }))
}

/** What a person does: sends a message and reads. */
async function takeTurn(
  client: NodeClient,
  honest: TestInstallation,
  turn: number,
): Promise<boolean> {
  const headers = { 'x-forwarded-for': '203.0.113.77' }
  const options = { headers, timeoutMs: 20_000 }
  await client.publish({ envelopes: [inboxEnvelope(honest, `turn ${turn}`)] }, options)
  const topics = [{ topic: `contact-${honest.account.address}`, afterSequence: 0n }]
  const { envelopes } = await client.query({ topics }, options)
  return envelopes.length === 1
}
