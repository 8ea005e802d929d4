/**
 * What strangers cause in a node is bounded in memory, also when they do it many times at once. The
 * nodes limit callers on their own machine too: these tests are no exempt ones.
 */
import { gzipSync } from 'node:zlib'
import { Code } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, expect, test } from 'vitest'
import { nodeClient } from '../node/support.ts'
import { type FuzzNode, faultsInOutput, startFuzzNode } from './fuzz-node.ts'
import { peakDuring, Stranger } from './stranger.ts'

const running = new Set<FuzzNode>()
const strangers = new Set<Stranger>()
afterEach(async () => {
  for (const one of strangers) one.destroy()
  strangers.clear()
  for (const node of running) {
    expect(faultsInOutput(node.output, [])).toEqual([])
    await node.close()
  }
  running.clear()
})

async function start(...args: string[]) {
  const node = await startFuzzNode({ args: ['--limit-local', 'yes', ...args] })
  running.add(node)
  return { node, client: nodeClient(createGrpcTransport({ baseUrl: node.url })) }
}

function aStranger(node: FuzzNode, settings?: ConstructorParameters<typeof Stranger>[1]) {
  const stranger = new Stranger(node.url, settings)
  strangers.add(stranger)
  return stranger
}

test('48 bodies of some kilobytes that inflate to 34 MiB each take no memory', async () => {
  const { node, client } = await start()
  await client.getInfo({})
  const bomb = gzipSync(new Uint8Array(34 << 20))
  const stranger = aStranger(node)
  const before = node.memory()
  const asking = Array.from({ length: 48 }, () =>
    stranger.ask('Publish', bomb, { 'grpc-encoding': 'gzip' }, 1),
  )
  const { result, peak } = await peakDuring(node.memory, Promise.all(asking))
  expect(peak - before).toBeLessThan(64)
  for (const { grpcStatus } of result) expect(grpcStatus).toBe(Code.Unimplemented)
  await client.getInfo({})
})
