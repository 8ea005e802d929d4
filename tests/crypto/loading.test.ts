/** Loading padlock.wasm: from what, how often, and what is reported when it is not available. */

import { createServer } from 'node:http'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { loadWasmCrypto } from '../../src/crypto/wasm.ts'
import { wasmFile } from './peer.ts'

const unavailable = expect.objectContaining({ code: 'wasm_unavailable', cause: expect.any(Error) })

/** Told of each request that gets no answer, or no more of one. */
let onSilence: () => void = () => undefined

const server = createServer((request, response) => {
  if (request.url === '/silent.wasm') return onSilence()
  if (request.url === '/stalled.wasm') {
    response.writeHead(200, { 'content-type': 'application/wasm' })
    return void response.write(wasmFile().subarray(0, 1_000), onSilence)
  }
  if (request.url?.startsWith('/missing')) return void response.writeHead(404).end('not here')
  if (request.url === '/html') {
    return void response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      .end('<!doctype html>')
  }
  const type = request.url === '/untyped.wasm' ? 'application/octet-stream' : 'application/wasm'
  response.writeHead(200, { 'content-type': type })
  response.end(request.url === '/page.wasm' ? '<!doctype html>' : wasmFile())
})
let origin = ''

beforeAll(async () => {
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  origin = `http://127.0.0.1:${address.port}`
})
afterAll(() => {
  server.closeAllConnections()
  return new Promise((closed) => server.close(closed))
})

test('it loads from an address, a response, bytes and a module, all at once, as one', async () => {
  const bytes = new Uint8Array(wasmFile())
  const loaded = await Promise.all([
    loadWasmCrypto(`${origin}/padlock.wasm`),
    loadWasmCrypto(new URL('/untyped.wasm', origin)),
    loadWasmCrypto(await fetch(`${origin}/padlock.wasm`)),
    loadWasmCrypto(bytes),
    loadWasmCrypto(bytes.buffer),
    loadWasmCrypto(await WebAssembly.compile(bytes)),
  ])
  expect(new Set(loaded).size).toBe(1)
  expect(loaded[0].createKeyPairs(1)).toHaveLength(1)
})

test('a missing file, a page in its place and an unreachable server are one code', async () => {
  await expect(loadWasmCrypto(`${origin}/missing.wasm`)).rejects.toEqual(unavailable)
  await expect(loadWasmCrypto(`${origin}/page.wasm`)).rejects.toEqual(unavailable)
  await expect(loadWasmCrypto('http://127.0.0.1:1/padlock.wasm')).rejects.toEqual(unavailable)
  await expect(loadWasmCrypto('no address')).rejects.toEqual(unavailable)
})

test('what was wrong with the file is told, and nothing secret of its address', async () => {
  const load = (path: string) => loadWasmCrypto(`${origin}${path}`)
  await expect(load('/missing.wasm?token=secret')).rejects.toMatchObject({
    details: {
      address: `${origin}/missing.wasm`,
      status: 404,
      tried: `${origin}/missing.wasm: status 404`,
    },
  })
  await expect(load('/html#secret')).rejects.toMatchObject({
    details: { status: 200, contentType: 'text/html', tried: expect.stringContaining('text/html') },
  })
  const secret = `${origin.replace('//', '//user:secret@')}/padlock.wasm`
  const refused = await loadWasmCrypto(secret).catch((error: Error) => error)
  expect(refused).toMatchObject({ details: { address: `${origin}/padlock.wasm` } })
})

test('wasm of another release is reload_needed, of the same or none it loads', async () => {
  vi.stubGlobal('PADLOCK_RELEASE', '0.1.0+ba9876543210')
  vi.resetModules()
  const { loadWasmCrypto: load } = await import('../../src/crypto/wasm.ts')
  const ofRelease = (release: string) => {
    const body = Buffer.concat([Buffer.of(15), Buffer.from(`padlock.release${release}`)])
    return Buffer.concat([wasmFile(), Buffer.of(0, body.length), body])
  }
  await expect(load(ofRelease('0.1.0+000000000000'))).rejects.toMatchObject({
    code: 'reload_needed',
    details: { worker: '0.1.0+ba9876543210', wasm: '0.1.0+000000000000' },
  })
  expect((await load(ofRelease('0.1.0+ba9876543210'))).createKeyPairs(1)).toHaveLength(1)
  expect((await load(wasmFile())).createKeyPairs(1)).toHaveLength(1)
  vi.unstubAllGlobals()
})

test.each(['silent', 'stalled'])('an answer that is %s is given up after a minute', async (how) => {
  const silence = new Promise<void>((resolve) => {
    onSilence = resolve
  })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const loading = loadWasmCrypto(`${origin}/${how}.wasm`)
    loading.catch(() => undefined)
    await silence
    vi.advanceTimersByTime(60_000)
    await expect(loading).rejects.toMatchObject({
      code: 'wasm_unavailable',
      details: { tried: expect.stringContaining('no answer in time') },
    })
    expect(vi.getTimerCount()).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})

test('garbage, a cut file and another module are refused', async () => {
  const file = new Uint8Array(wasmFile())
  const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
  for (const bytes of [new Uint8Array(), new Uint8Array(100), file.subarray(0, 9_999), empty]) {
    await expect(loadWasmCrypto(bytes)).rejects.toEqual(unavailable)
  }
})

test('a content policy that forbids compiling, and no WebAssembly at all, are one code', async () => {
  const compile = vi.spyOn(WebAssembly, 'compile')
  compile.mockRejectedValue(new WebAssembly.CompileError('blocked by Content Security Policy'))
  await expect(loadWasmCrypto(wasmFile())).rejects.toEqual(unavailable)
  compile.mockRestore()
  vi.stubGlobal('WebAssembly', undefined)
  await expect(loadWasmCrypto(wasmFile())).rejects.toEqual(unavailable)
  vi.unstubAllGlobals()
})

test('a platform without randomness is said to be one', async () => {
  vi.stubGlobal('crypto', {})
  await expect(loadWasmCrypto(wasmFile())).rejects.toEqual(
    expect.objectContaining({ code: 'unsupported_platform' }),
  )
  vi.unstubAllGlobals()
})

test('a failed load does not stand in the way of the next', async () => {
  vi.resetModules()
  const fresh = await import('../../src/crypto/wasm.ts')
  await expect(fresh.loadWasmCrypto(new Uint8Array(8))).rejects.toEqual(unavailable)
  const crypto = await fresh.loadWasmCrypto(wasmFile())
  expect(crypto.digest([new Uint8Array()])).toHaveLength(1)
})
