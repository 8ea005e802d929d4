/** Frames of gRPC-web below Connect, byte by byte: how long, and whether the last one is whole. */

import { Code } from '@connectrpc/connect'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fetchGrpcWeb } from '../../src/network/grpc-web-fetch.ts'

const maxFrameBytes = 16 * 1_048_576

const frame = (flags: number, announced: number, bytes = announced): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(5 + bytes)
  whole[0] = flags
  new DataView(whole.buffer).setUint32(1, announced)
  return whole
}

/** What comes of an answer with these chunks: its length, or the code that it fails with. */
const read = async (...chunks: readonly Uint8Array<ArrayBuffer>[]): Promise<number | Code> => {
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  const headers = { 'content-type': 'application/grpc-web+proto' }
  vi.stubGlobal('fetch', async () => new Response(body, { headers }))
  onTestFinished(() => {
    vi.unstubAllGlobals()
  })
  const response = await fetchGrpcWeb('https://node.example')
  try {
    return (await response.arrayBuffer()).byteLength
  } catch (error) {
    if (error instanceof Error && 'code' in error) return error.code as Code
    throw error
  }
}

const trailer = frame(0x80, 3)

test('an answer is whole when its last frame is a trailer, and all of it came', async () => {
  expect(await read(frame(0, 4), trailer)).toBe(9 + 8)
  expect(await read(trailer)).toBe(8)
  expect(await read()).toBe(0)
  for (const cut of [1, 4, 5, 7]) {
    expect(await read(frame(0, 4), trailer.slice(0, cut))).toBe(Code.Unavailable)
  }
  expect(await read(frame(0, 4))).toBe(Code.Unavailable)
  expect(await read(frame(0, 4, 3))).toBe(Code.Unavailable)
})

test('a frame of sixteen mebibytes passes, one byte more is refused when it is announced', async () => {
  expect(await read(frame(0, maxFrameBytes), trailer)).toBe(5 + maxFrameBytes + 8)
  expect(await read(frame(0, maxFrameBytes + 1, 0))).toBe(Code.Internal)
  expect(await read(frame(0, 2), frame(0, 0xffff_ffff, 0))).toBe(Code.Internal)
})

test('frames are told apart however they are cut into chunks', async () => {
  const all = new Uint8Array([...frame(0, 6), ...frame(0, 0), ...trailer])
  for (const size of [1, 2, 3, 5, 7]) {
    const chunks: Uint8Array<ArrayBuffer>[] = []
    for (let at = 0; at < all.length; at += size) chunks.push(all.slice(at, at + size))
    expect(await read(...chunks)).toBe(all.length)
    expect(await read(...chunks.slice(0, -1))).toBe(Code.Unavailable)
  }
})
