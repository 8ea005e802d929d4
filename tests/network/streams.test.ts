/** Streams that break, fall silent or are ended, and calls that are aborted. */

import type { ServerResponse } from 'node:http'
import { encodeEnvelope } from '@connectrpc/connect/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { NodeFrame } from '../../src/network/network.ts'
import { until } from '../support/until.ts'
import {
  codeOf,
  connect,
  grpcWeb,
  heartbeat,
  impatience,
  readStream,
  startHttp,
  startTcp,
  trailer,
} from './server.ts'

/** A stream that says two heartbeats and then does something. */
const afterTwo = (then: (response: ServerResponse) => void) =>
  startHttp((_, response) => {
    response.writeHead(200, grpcWeb)
    response.write(heartbeat(1n))
    response.write(heartbeat(2n), () => then(response))
  })

const two: readonly NodeFrame[] = [
  { kind: 'heartbeat', nodeNs: 1n },
  { kind: 'heartbeat', nodeNs: 2n },
]

const endings: readonly {
  readonly name: string
  readonly code: string
  and(response: ServerResponse): void
}[] = [
  { name: 'is cut', code: 'network_unavailable', and: (response) => response.destroy() },
  { name: 'ends without a word', code: 'network_unavailable', and: (response) => response.end() },
  {
    name: 'ends in the middle of a frame',
    code: 'network_unavailable',
    and: (response) => response.end(heartbeat(3n).subarray(0, 6)),
  },
  {
    name: 'ends with a good status, as no node does',
    code: 'network_unavailable',
    and: (response) => response.end(trailer('grpc-status: 0\r\n')),
  },
  {
    name: 'says that it is unavailable',
    code: 'network_unavailable',
    and: (response) => response.end(trailer('grpc-status: 14\r\n')),
  },
  {
    name: 'goes on with a frame that does not parse',
    code: 'bad_response',
    and: (response) => response.write(encodeEnvelope(0, Uint8Array.of(0xff, 0xff, 0xff))),
  },
  {
    name: 'goes on with garbage',
    code: 'bad_response',
    and: (response) => response.write(new Uint8Array(4_096).fill(0xa5)),
  },
  {
    name: 'goes on after its trailer',
    code: 'bad_response',
    and: (response) =>
      response.end(Buffer.concat([trailer('grpc-status: 0\r\n'), heartbeat(3n), trailer('')])),
  },
]

for (const { name, code, and } of endings) {
  test(`a stream that ${name} gives what it said and throws ${code}`, async () => {
    const seen: NodeFrame[] = []
    const network = connect(await afterTwo(and))
    expect(await codeOf(readStream(network, undefined, seen))).toBe(code)
    expect(seen).toEqual(two)
  })
}

describe('silence', () => {
  const { silenceMs } = impatience
  // Its length is the test's: a busy machine is silent for longer than anyone likes to wait.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('a stream that falls silent is given up, and its connection closed', async () => {
    const closed = Promise.withResolvers<void>()
    const url = await afterTwo((response) => response.on('close', () => closed.resolve()))
    const seen: NodeFrame[] = []
    const code = codeOf(readStream(connect(url, impatience), undefined, seen))
    await until(() => seen.length === 2)
    vi.advanceTimersByTime(silenceMs)
    expect(await code).toBe('network_unavailable')
    expect(seen).toEqual(two)
    await closed.promise
  })

  test('single bytes do not pass for life: only whole frames do', async () => {
    let written = 0
    const url = await afterTwo((response) => {
      const timer = setInterval(() => {
        response.write(Uint8Array.of(0))
        written += 1
      }, 20)
      response.on('close', () => clearInterval(timer))
      response.write(Uint8Array.of(0, 0, 0, 0xff, 0xff))
    })
    const seen: NodeFrame[] = []
    const code = codeOf(readStream(connect(url, impatience), undefined, seen))
    await until(() => seen.length === 2)
    vi.advanceTimersByTime(silenceMs - 1)
    const before = written
    await until(() => written > before + 3)
    vi.advanceTimersByTime(1)
    expect(await code).toBe('network_unavailable')
  })

  test('events of a later release are passed over, and count as life', async () => {
    const answer = Promise.withResolvers<ServerResponse>()
    const url = await startHttp((_, response) => {
      response.writeHead(200, grpcWeb)
      answer.resolve(response)
    })
    const set = vi.spyOn(globalThis, 'setTimeout')
    const waits = () => set.mock.calls.filter(([, ms]) => ms === silenceMs).length
    const seen: NodeFrame[] = []
    const code = codeOf(readStream(connect(url, impatience), undefined, seen))
    const response = await answer.promise
    for (let beats = 1; beats < 8; beats += 1) {
      vi.advanceTimersByTime(silenceMs - 1)
      // Field 99, which no release has.
      response.write(encodeEnvelope(0, Uint8Array.of(0x9a, 0x06, 0)))
      await until(() => waits() > beats)
    }
    response.end(heartbeat(9n))
    await code
    expect(seen).toEqual([{ kind: 'heartbeat', nodeNs: 9n }])
    set.mockRestore()
  })

  test('a consumer that takes its time is not taken for a silent node', async () => {
    const url = await afterTwo((response) => response.write(heartbeat(3n)))
    const seen: NodeFrame[] = []
    const network = connect(url, impatience)
    const end = new AbortController()
    for await (const frame of network.subscribe([], new Uint8Array(), end.signal)) {
      seen.push(frame)
      if (seen.length === 3) break
      vi.advanceTimersByTime(silenceMs + 100)
    }
    expect(seen).toHaveLength(3)
  })
})

test('a consumer that leaves closes the connection', async () => {
  const closed = Promise.withResolvers<void>()
  const url = await afterTwo((response) => response.on('close', () => closed.resolve()))
  const stream = connect(url).subscribe([], new Uint8Array(), new AbortController().signal)
  for await (const _ of stream) break
  await closed.promise
  for await (const frame of stream) throw new Error(`still open: ${frame.kind}`)
})

test('aborting ends a stream quietly, before the answer, in the middle and from the start', async () => {
  const waiting = new AbortController()
  const silent = connect(await startTcp(() => waiting.abort()))
  expect(await readStream(silent, waiting.signal)).toEqual([])

  const reading = new AbortController()
  const seen: NodeFrame[] = []
  const talking = connect(await afterTwo(() => undefined))
  for await (const frame of talking.subscribe([], new Uint8Array(), reading.signal)) {
    seen.push(frame)
    if (seen.length === 2) reading.abort()
  }
  expect(seen).toEqual(two)

  expect(await readStream(talking, AbortSignal.abort())).toEqual([])
})

test('aborting a call is aborted: before it, while nothing answers and in the middle', async () => {
  const silentAbort = new AbortController()
  const silent = connect(await startTcp(() => silentAbort.abort()))
  expect(await codeOf(silent.getInfo(silentAbort.signal))).toBe('aborted')

  const halfAbort = new AbortController()
  const half = connect(
    await startHttp((_, response) => {
      response.writeHead(200, grpcWeb)
      response.write(Uint8Array.of(0, 0, 0), () => halfAbort.abort())
    }),
  )
  expect(await codeOf(half.query([], halfAbort.signal))).toBe('aborted')

  expect(await codeOf(half.getInfo(AbortSignal.abort()))).toBe('aborted')
  expect(await codeOf(half.publish([], AbortSignal.abort()))).toBe('aborted')
})
