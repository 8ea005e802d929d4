/** What can go wrong around a client in a real browser: each has a clear code and loses nothing. */
import { expect } from '@playwright/test'
import type { BrowserPage } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type BrowserWorld, createBrowserWorld } from '../support/browser-world.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { runSeed } from '../support/random.ts'
import { type StaticServer, serveTestPage } from '../support/static-server.ts'
import type { OpenOptions } from './page/page.ts'

const address = '0x90d9f90a08d6fbbe6e6f2e413571876cbd2674c4'
const peer = '0xaAEE711574951e98E66c79dC40733144057A238E'

let node: NodeProcess
let server: StaticServer | undefined
test.beforeAll(async () => {
  node = await startNodeProcess()
})
test.afterAll(() => node.close())
test.afterEach(async () => {
  await server?.close()
  server = undefined
})

/** A page of the SDK; its wallet signs nothing, as no test here gets that far. */
const load = async (page: BrowserPage, served: StaticServer): Promise<void> => {
  await page.goto(served.url)
  await page.waitForFunction(() => window.page !== undefined)
}

const openCode = (page: BrowserPage, options: Partial<OpenOptions>): Promise<string> =>
  page.evaluate((given) => window.page.openCode(given), { address, node: node.url, ...options })

test('a missing wasm file is wasm_unavailable', async ({ freshPage: page }) => {
  server = await serveTestPage()
  await load(page, server)
  expect(await openCode(page, { wasmUrl: '/nothing.wasm' })).toBe('wasm_unavailable')
})

test('a page instead of the wasm file is wasm_unavailable', async ({ freshPage: page }) => {
  server = await serveTestPage()
  await load(page, server)
  expect(await openCode(page, { wasmUrl: '/' })).toBe('wasm_unavailable')
})

test('a content policy without wasm-unsafe-eval is wasm_unavailable', async ({
  freshPage: page,
}) => {
  server = await serveTestPage({ 'content-security-policy': "script-src 'self'" })
  await load(page, server)
  expect(await openCode(page, {})).toBe('wasm_unavailable')
})

test('a content policy that forbids workers is worker_unavailable', async ({ freshPage: page }) => {
  server = await serveTestPage({ 'content-security-policy': "worker-src 'none'" })
  await load(page, server)
  expect(await openCode(page, {})).toBe('worker_unavailable')
})

test('a missing worker is worker_unavailable', async ({ freshPage: page }) => {
  server = await serveTestPage()
  await load(page, server)
  expect(await openCode(page, { workerUrl: '/dist/nothing.js' })).toBe('worker_unavailable')
})

test('a worker that throws at once is worker_unavailable', async ({ freshPage: page }) => {
  server = await serveTestPage({}, { '/broken.js': 'throw new Error("broken")' })
  await load(page, server)
  expect(await openCode(page, { workerUrl: '/broken.js' })).toBe('worker_unavailable')
})

test('a browser without IndexedDB is storage_unavailable', async ({ freshPage: page }) => {
  const script = `Object.defineProperty(globalThis, 'indexedDB', { value: undefined })
await import('/dist/worker.js')`
  server = await serveTestPage({}, { '/worker.js': script })
  await load(page, server)
  expect(await openCode(page, { workerUrl: '/worker.js' })).toBe('storage_unavailable')
})

test('an IndexedDB that refuses to open is storage_unavailable', async ({ freshPage: page }) => {
  const script = `IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }
await import('/dist/worker.js')`
  server = await serveTestPage({}, { '/worker.js': script })
  await load(page, server)
  expect(await openCode(page, { workerUrl: '/worker.js' })).toBe('storage_unavailable')
})

test('an unreachable node is network_unavailable, and no wallet is asked', async ({
  freshPage: page,
}) => {
  server = await serveTestPage()
  await load(page, server)
  expect(await openCode(page, { node: 'http://127.0.0.1:9' })).toBe('network_unavailable')
})

test('a web server instead of a node is bad_response', async ({ freshPage: page }) => {
  server = await serveTestPage({
    'access-control-allow-origin': '*',
    'access-control-allow-headers': '*',
  })
  await load(page, server)
  const { origin } = new URL(server.url)
  expect(await openCode(page, { node: origin })).toBe('bad_response')
})

test('an address that is none, or typed with a mistake, is invalid_address', async ({
  freshPage: page,
}) => {
  server = await serveTestPage()
  await load(page, server)
  const wrong = '0x90D9f90A08d6fBBE6E6F2E413571876cbd2674c4'
  expect(await openCode(page, { typed: wrong })).toBe('invalid_address')
  expect(await openCode(page, { address: '0x90d9' })).toBe('invalid_address')
})

test.describe('with a client', () => {
  let world: BrowserWorld
  test.beforeEach(async ({ engine }) => {
    world = await createBrowserWorld(engine, runSeed())
  })
  test.afterEach(() => world.close())

  test('a full disk is storage_full, and what comes after it works', async () => {
    const script = `const put = IDBObjectStore.prototype.put
const add = IDBObjectStore.prototype.add
let full = false
const channel = new BroadcastChannel('disk')
channel.onmessage = ({ data }) => {
  full = data
  channel.postMessage('heard')
}
const refuse = (work) => function (...args) {
  if (full) throw new DOMException('full', 'QuotaExceededError')
  return work.apply(this, args)
}
IDBObjectStore.prototype.put = refuse(put)
IDBObjectStore.prototype.add = refuse(add)
await import('/dist/worker.js')`
    const full = await serveTestPage({}, { '/worker.js': script })
    try {
      const alice = await world.person('alice')
      const device = await world.device(alice, 'alice-phone')
      const page = world.page(device)
      await page.evaluate(() => window.page.close())
      await page.goto(full.url)
      await page.waitForFunction(() => window.page !== undefined)
      const options = { address: alice.address, node: world.process.url, workerUrl: '/worker.js' }
      await page.evaluate((given) => window.page.open(given), options)
      const fill = (isFull: boolean) =>
        page.evaluate(async (value) => {
          const channel = new BroadcastChannel('disk')
          // Channels keep no order with what else the worker is asked, so it says when it heard.
          await new Promise((resolve) => {
            channel.onmessage = resolve
            channel.postMessage(value)
          })
          channel.close()
        }, isFull)
      const send = (text: string) =>
        page.evaluate(([to, what]) => window.page.sendCode(to, what), [
          alice.address,
          text,
        ] as const)
      expect(await send('before')).toBe('none')
      await fill(true)
      expect(await send('too much')).toBe('storage_full')
      await fill(false)
      expect(await send('after')).toBe('none')
      const history = await page.evaluate((to) => window.page.history(to), alice.address)
      expect(history.map(({ content }) => content)).toEqual(['before', 'after'])
    } finally {
      await full.close()
    }
  })

  // One in 32 X25519 secrets begins with a zero byte; WebKitGTK 2.50 does not import those.
  test('a device whose secrets begin with a zero byte receives as any other does', async () => {
    const script = `const { getRandomValues } = Crypto.prototype
Crypto.prototype.getRandomValues = function (array) {
  getRandomValues.call(this, array)
  if (array.byteLength === 32) new Uint8Array(array.buffer, array.byteOffset, 1)[0] = 0
  return array
}
await import('/dist/worker.js')`
    const zeros = await serveTestPage({}, { '/worker.js': script })
    try {
      const alice = await world.person('alice')
      const bob = await world.person('bob')
      const page = world.page(await world.device(bob, 'bob-phone'))
      await page.goto(zeros.url)
      await page.waitForFunction(() => window.page !== undefined)
      const options = { address: bob.address, node: world.process.url }
      const made = { ...options, workerUrl: '/worker.js' }
      await page.evaluate((given) => window.page.open(given), made)
      // What a browser does with secrets is tried at every start, by others that do not begin so now.
      await page.evaluate(() => window.page.close())
      await page.evaluate((given) => window.page.open(given), options)
      const alicePhone = await world.device(alice, 'alice-phone')
      await alicePhone.send(bob, 'zero', 'sent')
      await page.evaluate((peer) => window.page.settled(peer, 1), alice.address)
      expect(await page.evaluate(() => window.page.warnings())).toEqual({})
    } finally {
      await zeros.close()
    }
  })

  test('a second tab on the same database is told so, and may have it when the first closes', async () => {
    const alice = await world.person('alice')
    const device = await world.device(alice, 'alice-phone')
    const first = world.page(device)
    const second = await world.profile(device).newPage()
    await second.goto(world.server.url)
    await second.waitForFunction(() => window.page !== undefined)
    const options = { address: alice.address, node: world.process.url }
    const began = Date.now()
    expect(await second.evaluate((given) => window.page.openCode(given), options)).toBe(
      'storage_in_use',
    )
    expect(Date.now() - began).toBeGreaterThan(2_500)
    await first.close()
    expect(await second.evaluate((given) => window.page.openCode(given), options)).toBe('none')
    expect(await device.signatures()).toBe(1)
  })

  test('calls after close fail with closed, and data can be deleted', async () => {
    const alice = await world.person('alice')
    const device = await world.device(alice, 'alice-phone')
    const page = world.page(device)
    expect(await page.evaluate(() => window.page.databaseNames())).toHaveLength(1)
    await page.evaluate(() => window.page.deleteLocalData())
    expect(await page.evaluate((to) => window.page.conversationCode(to), peer)).toBe('closed')
    expect(await page.evaluate(() => window.page.databaseNames())).toEqual([])
  })

  test('a message over the limit and a wrong checksum are refused, and the next one is sent', async () => {
    const alice = await world.person('alice')
    const device = await world.device(alice, 'alice-phone')
    const page = world.page(device)
    const send = (to: string, length: number) =>
      page.evaluate(([whom, size]) => window.page.sendCode(whom, 'x'.repeat(size)), [
        to,
        length,
      ] as const)
    expect(await send(alice.address, 900 * 1024)).toBe('message_too_large')
    expect(await send('0xAAEE711574951e98E66c79dC40733144057A238E', 1)).toBe('invalid_address')
    expect(await send('bob', 1)).toBe('invalid_address')
    await device.send(alice, 'fine', 'sent')
    expect((await device.history(alice)).map(({ content }) => content)).toEqual(['fine'])
  })

  test('a used database holds no plaintext, address, topic or id in clear', async () => {
    const alice = await world.person('alice')
    const bob = await world.person('bob')
    const alicePhone = await world.device(alice, 'alice-phone')
    const bobPhone = await world.device(bob, 'bob-phone')
    const secret = 'the treasure lies under the old oak tree'
    await alicePhone.send(bob, secret, 'sent')
    await bobPhone.settled(alice, 1)
    const ids = [await alicePhone.installationId(), await bobPhone.installationId()]
    const markers = [secret, ...ids, alice.address.slice(2), bob.address.slice(2)]
    for (const device of [alicePhone, bobPhone]) {
      const page = world.page(device)
      await page.evaluate(() => window.page.close())
      await page.evaluate((text) => window.page.plant(text), 'planted under the old elm')
      const found = await page.evaluate(
        (texts) => window.page.findInDatabases(texts),
        ['planted under the old elm', ...markers],
      )
      expect(found).toEqual(['planted under the old elm'])
    }
    // Nor does the node's disk hold what was written.
    for (const id of ids) {
      for (const message of await world.attacker.stored(`message-${id}`)) {
        expect(Buffer.from(message).includes(secret)).toBe(false)
        expect(Buffer.from(message).toString('latin1')).not.toContain(alice.address.slice(2, 20))
      }
    }
  })
})
