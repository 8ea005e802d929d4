/**
 * What a node costs: publishes a second one by one and in batches, how late a subscriber hears of
 * them, registrations, and how long the node's streams were held up meanwhile. The node runs in this
 * process as `padlock-node` does; the clients run in another, on the same machine.
 *
 *   node bench/node.ts [--seconds 5]
 */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { startNode } from '../node/src/node.ts'
import { PublishRequestSchema, PublishResponseSchema } from '../src/gen/padlock/v1/node_pb.ts'
import {
  minuteNs,
  nodeClient,
  TestInstallation,
  TestStream,
  testAccount,
} from '../tests/node/support.ts'

interface Task {
  readonly name: string
  readonly url: string
  readonly seconds: number
  readonly callers: number
  /** Envelopes of 1 KiB a request; 0 for registrations. */
  readonly batch: number
  /** Whether a subscriber listens and its delay is measured. */
  readonly listen: boolean
}

interface Result {
  readonly requestsPerSecond: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const tasks: Pick<Task, 'name' | 'callers' | 'batch' | 'listen'>[] = [
  { name: 'publish one by one, 1 caller', callers: 1, batch: 1, listen: false },
  { name: 'publish one by one, 64 callers', callers: 64, batch: 1, listen: false },
  { name: 'publish in batches of 20, 1 caller', callers: 1, batch: 20, listen: false },
  { name: 'publish in batches of 20, 16 callers', callers: 16, batch: 20, listen: false },
  { name: 'one publisher, until a subscriber has it', callers: 1, batch: 1, listen: true },
  { name: '16 × 20, until a subscriber has it', callers: 16, batch: 20, listen: true },
  { name: 'register (bundle, 50 prekeys, fallback)', callers: 8, batch: 0, listen: false },
]

const self = fileURLToPath(import.meta.url)
if (process.send === undefined) await measure()
else process.on('message', (task: Task) => void load(task).then((result) => process.send?.(result)))

async function measure(): Promise<void> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } })
  const data = mkdtempSync(join(tmpdir(), 'padlock-bench-'))
  const node = await startNode({ data, port: 0, host: '127.0.0.1' })
  const clients = fork(self)
  const rows: Record<string, Record<string, string>> = {}
  for (const task of tasks) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const result = await new Promise<Result>((resolve) => {
      clients.once('message', resolve)
      clients.send({ ...task, url: node.url, seconds: Number(values.seconds) })
    })
    delay.disable()
    rows[task.name] = {
      'per second': result.perSecond.toFixed(0),
      'requests per second': result.requestsPerSecond.toFixed(0),
      'p50 ms': result.p50Ms.toFixed(1),
      'p99 ms': result.p99Ms.toFixed(1),
      'node held up p99 ms': (delay.percentile(99) / 1e6).toFixed(1),
      'max ms': (delay.max / 1e6).toFixed(0),
    }
  }
  console.table(rows)
  clients.disconnect()
  await node.close()
  rmSync(data, { recursive: true })
}

/** Runs in the other process. */
async function load(task: Task): Promise<Result> {
  const client = nodeClient(createGrpcTransport({ baseUrl: task.url }))
  const { nodeId, nodeNs } = await client.getInfo({})
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  await client.publish({ envelopes: [await bob.bundle(1n)] })
  const delays: number[] = []
  const sentAt = new Map<string, number>()
  let stream: TestStream | undefined
  let listening: Promise<void> | undefined
  const topic = task.listen ? bob.inbox : undefined
  if (topic !== undefined) {
    const last = (await lastSequence(client, bob, nodeId, nodeNs)) ?? 0n
    stream = new TestStream(client, {
      topics: [{ topic, afterSequence: last }],
      proofs: [bob.proof(nodeId, nodeNs + 5n * minuteNs)],
    })
    await stream.nextOf('caughtUp')
    const reader = stream
    listening = (async () => {
      for (;;) {
        for (const { message } of (await reader.nextOf('envelopes')).envelopes) {
          const at = sentAt.get(keyOf(message))
          if (at !== undefined) delays.push(performance.now() - at)
        }
      }
    })().catch(() => {})
  }
  const requests = task.batch === 0 ? await registrations(task.seconds * 400) : undefined
  const session = http2.connect(task.url)
  session.setMaxListeners(0)
  const untilMs = performance.now() + task.seconds * 1_000
  let done = 0
  let next = 0
  const caller = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const body =
        requests === undefined ? batchOf(bob.inbox, task.batch, sentAt) : requests[next++]
      if (body === undefined) return
      const startedMs = performance.now()
      await publish(session, body)
      if (stream === undefined) delays.push(performance.now() - startedMs)
      done += 1
    }
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: task.callers }, caller))
  const seconds = (performance.now() - startedMs) / 1_000
  stream?.close()
  await listening
  session.close()
  delays.sort((a, b) => a - b)
  return {
    requestsPerSecond: done / seconds,
    perSecond: (done * Math.max(1, task.batch)) / seconds,
    p50Ms: delays[Math.floor(delays.length * 0.5)] ?? 0,
    p99Ms: delays[Math.floor(delays.length * 0.99)] ?? 0,
  }
}

async function lastSequence(
  client: ReturnType<typeof nodeClient>,
  one: TestInstallation,
  nodeId: Uint8Array,
  nodeNs: bigint,
): Promise<bigint | undefined> {
  const message = new Uint8Array(Buffer.from(`mark ${performance.now()} ${nodeNs}`))
  await client.publish({ envelopes: [{ topic: one.inbox, message }] })
  const { receipts } = await client.publish({ envelopes: [{ topic: one.inbox, message }] })
  return nodeId.length === 16 ? receipts[0]?.sequence : undefined
}

let counter = Date.now() * 1_000
const keyOf = (message: Uint8Array): string => Buffer.from(message.subarray(0, 8)).toString('hex')

function batchOf(topic: string, count: number, sentAt: Map<string, number>): Buffer {
  const envelopes = Array.from({ length: count }, () => {
    const message = new Uint8Array(1_024)
    new DataView(message.buffer).setBigUint64(0, BigInt(counter++))
    sentAt.set(keyOf(message), performance.now())
    return { topic, message }
  })
  return frame(envelopes)
}

async function registrations(count: number): Promise<Buffer[]> {
  const bodies: Buffer[] = []
  const account = (n: number) => testAccount(`bench ${counter} ${n}`)
  for (let n = 0; n < count; n += 1) {
    const one = new TestInstallation(account(n), `bench ${counter} ${n}`)
    bodies.push(
      frame([await one.bundle(1n), one.upload({ createdNs: 1n, oneTime: 50, fallback: true })]),
    )
  }
  return bodies
}

function frame(envelopes: { topic: string; message: Uint8Array }[]): Buffer {
  const body = toBinary(PublishRequestSchema, create(PublishRequestSchema, { envelopes }))
  const framed = Buffer.alloc(5 + body.length)
  framed.writeUInt32BE(body.length, 1)
  framed.set(body, 5)
  return framed
}

/** One gRPC call on a bare HTTP/2 session, so that the client takes as little of the machine as it can. */
function publish(session: http2.ClientHttp2Session, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/padlock.v1.NodeService/Publish',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('trailers', (trailers) => {
      if (trailers['grpc-status'] !== '0') reject(new Error(`status ${trailers['grpc-status']}`))
    })
    stream.on('error', reject)
    stream.on('end', () => {
      const answer = Buffer.concat(chunks).subarray(5)
      if (fromBinary(PublishResponseSchema, answer).receipts.length > 0) resolve()
      else reject(new Error('no receipt'))
    })
    stream.end(body)
  })
}
