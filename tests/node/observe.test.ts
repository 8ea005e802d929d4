/** What an operator sees: metrics, log lines, and the port that says whether a node is well. */
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { createRateLimits } from '../../node/src/limits/rate-limits.ts'
import { type AdminServer, startAdminServer } from '../../node/src/observe/admin.ts'
import { createLog, type LogLevel, observeByLog } from '../../node/src/observe/log.ts'
import { createMetrics, type Metrics } from '../../node/src/observe/metrics.ts'
import { type Observer, observeAll, silentObserver } from '../../node/src/observe/observer.ts'
import { createReadiness } from '../../node/src/observe/readiness.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { type Store, StoreFailure } from '../../node/src/store/store.ts'
import {
  createInProcessNode,
  type InProcessNode,
  type InProcessNodeOptions,
  serveInProcess,
} from '../../node/src/testing.ts'
import { until } from '../support/until.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  TestInstallation,
  TestStream,
  testAccount,
  testClock,
} from './support.ts'

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

function startMeasured({
  metrics = createMetrics(),
  ...options
}: InProcessNodeOptions & { readonly metrics?: Metrics } = {}) {
  const node = createInProcessNode({ clock: testClock(), observer: metrics.observer, ...options })
  endings.push(() => node.close())
  metrics.watch(() => ({
    streams: node.service.subscribers,
    streamBytes: node.service.waitingBytes,
    storeWaiting: 3,
    dataBytes: 5_000,
  }))
  /** The value of a series as Prometheus would read it; absent if there is none. */
  const read = async (series: string) => {
    const lines = (await metrics.registry.metrics()).split('\n')
    const line = lines.find((each) => each.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }
  return { metrics, node, client: nodeClient(node.transport), read }
}

test('every call is counted once by its RPC and how it ended', async () => {
  const { node, client, read } = startMeasured()
  const bob = await register(client, 'bob', node.clock())
  await client.getInfo({})
  await client.query({ topics: [{ topic: `contact-${bob.account.address}`, afterSequence: 0n }] })
  await refusalOf(client.query({ topics: [{ topic: bob.inbox, afterSequence: 0n }] }))
  await refusalOf(client.publish({ envelopes: [{ topic: 'x', message: new Uint8Array(1) }] }))
  const calls = (rpc: string, code: string) =>
    read(`padlock_requests_total{rpc="${rpc}",code="${code}"}`)
  expect(await calls('Publish', 'ok')).toBe(1)
  expect(await calls('Publish', 'unknown_topic')).toBe(1)
  expect(await calls('Query', 'ok')).toBe(1)
  expect(await calls('Query', 'bad_proof')).toBe(1)
  expect(await calls('GetInfo', 'ok')).toBe(1)
  expect(await read('padlock_request_seconds_count{rpc="Query"}')).toBe(2)
  expect(await read('padlock_store_seconds_count{operation="publish"}')).toBe(2)
  expect(await read('padlock_store_seconds_count{operation="page"}')).toBe(1)
})

test('what is stored counts once, by kind and bytes; what is known or refused does not', async () => {
  const { node, client, read } = startMeasured()
  const bob = await register(client, 'bob', node.clock())
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a', 100), inboxEnvelope(bob, 'b', 50)] })
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a', 100), inboxEnvelope(bob, 'c', 7)] })
  const nobody = new TestInstallation(testAccount('nobody'), 'nobody')
  await refusalOf(
    client.publish({ envelopes: [inboxEnvelope(bob, 'd'), inboxEnvelope(nobody, 'd')] }),
  )
  expect(await read('padlock_stored_envelopes_total{kind="message"}')).toBe(3)
  expect(await read('padlock_stored_bytes_total{kind="message"}')).toBe(157)
  expect(await read('padlock_stored_envelopes_total{kind="contact"}')).toBe(1)
})

test('claims are counted by what was given, and those past a limit besides', async () => {
  const limits = createRateLimits({ callerTargetClaimsBurst: 1 })
  const { node, client, read } = startMeasured({ limits })
  const bob = await register(client, 'bob', node.clock())
  const createdNs = node.clock()
  await client.publish({ envelopes: [bob.upload({ createdNs, oneTime: 3, fallback: true })] })
  const stranger = new TestInstallation(testAccount('stranger'), 'stranger')
  for (let n = 0; n < 2; n += 1) {
    await client.claimPrekeys({
      claimId: randomBytes(16),
      installationIds: n === 0 ? [bob.id, stranger.id] : [bob.id],
    })
  }
  expect(await read('padlock_claimed_prekeys_total{result="one_time"}')).toBe(1)
  expect(await read('padlock_claimed_prekeys_total{result="fallback"}')).toBe(1)
  expect(await read('padlock_claimed_prekeys_total{result="not_available"}')).toBe(1)
  expect(await read('padlock_rate_limited_total{kind="claims"}')).toBe(1)
})

test('requests that are limited are counted by the limit, which is there before it happens', async () => {
  const limits = createRateLimits({ requestsBurst: 2 }, { clock: () => 0 })
  const { client, read } = startMeasured({ limits })
  expect(await read('padlock_rate_limited_total{kind="requests"}')).toBe(0)
  for (let n = 0; n < 2; n += 1) await client.getInfo({})
  await refusalOf(client.getInfo({}))
  expect(await read('padlock_rate_limited_total{kind="requests"}')).toBe(1)
  expect(await read('padlock_requests_total{rpc="GetInfo",code="rate_limited"}')).toBe(1)
})

test('streams, what they carry and what waits for them, and slow readers are metrics', async () => {
  const { node, client, read } = startMeasured({ liveLimit: { envelopes: 10, bytes: 1_000_000 } })
  const bob = await register(client, 'bob', node.clock())
  const proofs = [bob.proof(node.store.nodeId, node.clock() + 5n * minuteNs)]
  const topics = [{ topic: bob.inbox, afterSequence: 0n }]
  const stream = new TestStream(client, { topics, proofs })
  await stream.nextOf('caughtUp')
  expect(await read('padlock_streams')).toBe(1)
  expect(await read('padlock_store_queue')).toBe(3)
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  await stream.envelopes(1)
  expect(await read('padlock_streamed_envelopes_total')).toBe(1)
  for (let n = 0; n < 40; n += 1) await client.publish({ envelopes: [inboxEnvelope(bob, `${n}`)] })
  expect((await stream.ending()).code).toBe('slow_reader')
  expect(await read('padlock_slow_readers_total')).toBe(1)
  expect(await read('padlock_requests_total{rpc="Subscribe",code="slow_reader"}')).toBe(1)
  const leaving = new TestStream(client, { topics, proofs })
  await leaving.nextOf('caughtUp')
  leaving.close()
  await until(async () => (await read('padlock_streams')) === 0)
  expect(await read('padlock_stream_buffer_bytes')).toBe(0)
})

test('the process itself has metrics: memory, processor time, event-loop delay', async () => {
  const { read } = startMeasured()
  expect(await read('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
  expect(await read('process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(await read('nodejs_eventloop_lag_p99_seconds')).toBeGreaterThanOrEqual(0)
})

/** Over a socket, where requests can be anything. */
async function serveHttp(node: InProcessNode): Promise<string> {
  const server = http.createServer(connectNodeAdapter({ routes: node.service.routes }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  endings.push(async () => server.close())
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}/padlock.v1.NodeService`
}

test('nobody outside can make a series: whatever is sent, labels stay those of the tables', async () => {
  const { node, metrics, read } = startMeasured()
  const url = await serveHttp(node)
  const post = (path: string, body: string, headers = {}) =>
    fetch(`${url}/${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', connection: 'close', ...headers },
    }).then((response) => response.text())
  await post('Publish', '{')
  await post('Publish', '{"surprise":1}')
  await post('Query', '{}', { 'content-encoding': 'surprise' })
  await post('Query', '{}', { 'connect-timeout-ms': 'surprise' })
  await post('Surprise', '{}')
  await post('Publish', JSON.stringify({ envelopes: [{ topic: 'surprise-x', message: 'eA==' }] }))
  expect(await read('padlock_requests_total{rpc="Publish",code="malformed"}')).toBe(2)
  expect(await read('padlock_requests_total{rpc="Publish",code="unknown_topic"}')).toBe(1)
  const text = await metrics.registry.metrics()
  expect(text).not.toMatch(/surprise/i)
  const codes = [...text.matchAll(/padlock_requests_total\{.*code="([^"]*)"/g)]
  for (const [, code] of codes) expect(code).toMatch(/^[a-z_]+$/)
})

/** A log, and its lines as they are written. */
function startLog(level: LogLevel) {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  return { lines, log: createLog({ level, destination }) }
}

test('a line has its sentence and its fields; what has no name among them is not written', () => {
  const { lines, log } = startLog('info')
  const fields = {
    url: 'http://127.0.0.1:1',
    chainId: 10n,
    privateKey: 'secret',
    message: 'secret',
  }
  log.info('listening', fields)
  const { time, ...line } = lines[0] ?? {}
  expect(line).toEqual({
    level: 30,
    message: 'listening',
    url: 'http://127.0.0.1:1',
    chainId: '10',
  })
  expect(Number.isNaN(Date.parse(String(time)))).toBe(false)
  expect(JSON.stringify(lines)).not.toContain('secret')
})

test('reasons lose what could be an address, an installation, a key or a hash', () => {
  const { lines, log } = startLog('info')
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const reason = `no row for ${bob.inbox} of ${bob.account.address}, key "${Buffer.from(bob.keys.ed25519).toString('hex')}" ${'x '.repeat(500)}`
  log.warn('The store failed.', { reason })
  const written = JSON.stringify(lines)
  expect(written).toContain('no row for … of …, key')
  expect(written).not.toContain(bob.id.slice(0, 12))
  expect(written.length).toBeLessThan(500)
})

test('who calls is written at debug only, and calls themselves too', async () => {
  for (const level of ['debug', 'info'] as const) {
    const { lines, log } = startLog(level)
    const node = createInProcessNode({ observer: observeByLog(log) })
    endings.push(() => node.close())
    await nodeClient(node.transport).getInfo({})
    if (level === 'info') expect(lines).toEqual([])
    else expect(lines).toMatchObject([{ rpc: 'GetInfo', code: 'ok', caller: 'unknown' }])
    const fields = { url: 'http://127.0.0.1:1', caller: '192.0.2.1' }
    log.info('listening', fields)
    expect(JSON.stringify(lines.slice(-1))).not.toContain('192.0.2.1')
  }
})

/** What a log says of limits. */
const limitLines = (lines: readonly Record<string, unknown>[]) =>
  lines.map(({ level, caller, limit, count }) => ({ level, caller, limit, count }))

test('who asks too much is named at once, and then once a minute while it goes on', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const { lines, log } = startLog('info')
  const { limited } = observeByLog(log)
  for (let n = 0; n < 1_000; n += 1) limited('requests', 1, '192.0.2.1')
  limited('inbox', 1, '192.0.2.2')
  const first = { level: 40, caller: '192.0.2.1', limit: 'requests', count: 1 }
  const other = { level: 40, caller: '192.0.2.2', limit: 'inbox', count: 1 }
  expect(limitLines(lines)).toEqual([first, other])
  vi.advanceTimersByTime(60_000)
  expect(limitLines(lines).slice(2)).toEqual([{ ...first, count: 999 }])
  vi.advanceTimersByTime(600_000)
  expect(lines).toHaveLength(3)
  limited('requests', 1, '192.0.2.1')
  expect(limitLines(lines).slice(3)).toEqual([first])
})

test('a crowd of callers that ask too much is some lines a minute', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const { lines, log } = startLog('info')
  const { limited } = observeByLog(log)
  for (let n = 0; n < 10_000; n += 1) limited('requests', 1, `198.51.100.${n}`)
  expect(lines).toHaveLength(50)
  vi.advanceTimersByTime(60_000)
  expect(lines.slice(50)).toMatchObject([{ level: 40, count: 9_950 }])
})

test('a refusal says how long to wait, is counted by its limit, and is a line with the caller', async () => {
  const { lines, log } = startLog('info')
  const metrics = createMetrics()
  const limits = createRateLimits({ queriesPerSecond: 1, queriesBurst: 1, openStreams: 1 })
  const observer = observeAll(observeByLog(log), metrics.observer)
  const { client, read, node } = startMeasured({ limits, observer, metrics })
  const topics = [{ topic: `contact-${testAccount('bob').address}`, afterSequence: 0n }]
  await client.query({ topics })
  const refused = await refusalOf(client.query({ topics }))
  expect(refused.code).toBe('rate_limited')
  expect(refused.retryAfterMs).toBeGreaterThan(0n)
  const stream = new TestStream(client, { topics })
  await stream.nextOf('caughtUp')
  const second = await new TestStream(client, { topics }).ending()
  expect(second).toMatchObject({ code: 'rate_limited', retryAfterMs: 5_000n })
  stream.close()
  await until(() => node.service.subscribers === 0)
  expect(await read('padlock_rate_limited_total{kind="queries"}')).toBe(1)
  expect(await read('padlock_rate_limited_total{kind="open_streams"}')).toBe(1)
  expect(limitLines(lines)).toEqual([
    { level: 40, caller: 'unknown', limit: 'queries', count: 1 },
    { level: 40, caller: 'unknown', limit: 'open_streams', count: 1 },
  ])
})

/** A node whose store fails in some way at every publish. */
function startFailing(failure: () => Error, observer: Observer): NodeClient {
  const store = openSqliteStore({ file: ':memory:' })
  const failing: Store = Object.create(store, {
    publish: { value: () => Promise.reject(failure()) },
    nodeId: { value: store.nodeId },
    watch: { value: store.watch.bind(store) },
    close: { value: store.close.bind(store) },
  })
  const node = serveInProcess(failing, { observer })
  endings.push(() => node.close())
  return nodeClient(node.transport)
}

test('a store that fails is an error line and a metric, and the caller is asked to come again', async () => {
  const { lines, log } = startLog('info')
  const metrics = createMetrics()
  const observer = observeAll(observeByLog(log), metrics.observer, silentObserver)
  const client = startFailing(() => new StoreFailure('database or disk is full'), observer)
  const refused = await refusalOf(client.publish({ envelopes: [{ topic: 'x' }] }))
  expect(refused).toMatchObject({ code: 'unavailable', retryAfterMs: 1_000n })
  for (let n = 0; n < 100; n += 1) await refusalOf(client.publish({ envelopes: [{ topic: 'x' }] }))
  // However many requests fail, the line is written once a minute.
  expect(lines).toMatchObject([{ level: 50, reason: 'database or disk is full', count: 1 }])
  const text = await metrics.registry.metrics()
  expect(text).toContain('padlock_failures_total{of="storage"} 101')
  expect(text).toContain('padlock_requests_total{rpc="Publish",code="unavailable"} 101')
})

test('a defect is written with where it was, and without what it quotes', async () => {
  const { lines, log } = startLog('info')
  const client = startFailing(
    () => new TypeError('cannot read "the input"\nat all'),
    observeByLog(log),
  )
  const refused = await refusalOf(client.publish({ envelopes: [{ topic: 'x' }] }))
  expect(refused.code).toBeUndefined()
  expect(lines).toHaveLength(1)
  expect(String(lines[0]?.where)).toMatch(/^TypeError\n\s+at .*observe\.test\.ts/)
  expect(JSON.stringify(lines)).not.toContain('the input')
})

async function startAdmin(isReady: () => Promise<boolean>): Promise<AdminServer> {
  const { registry } = createMetrics()
  const admin = await startAdminServer({ host: '127.0.0.1', port: 0, registry, isReady })
  endings.push(() => admin.close())
  return admin
}

const get = async (url: string, method = 'GET') => {
  const response = await fetch(url, { method })
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    text: await response.text(),
  }
}

test('the operator’s port answers three paths and nothing else', async () => {
  const { url } = await startAdmin(async () => true)
  expect(await get(`${url}/healthz`)).toMatchObject({ status: 200, text: 'alive\n' })
  expect(await get(`${url}/readyz?verbose`)).toMatchObject({ status: 200, text: 'ready\n' })
  const metrics = await get(`${url}/metrics`)
  expect(metrics).toMatchObject({
    status: 200,
    type: expect.stringMatching(/^text\/plain; version=0/),
  })
  expect(metrics.text).toContain('padlock_failures_total')
  for (const path of ['/', '/metrics/', '/healthz/x', '/debug', '//metrics']) {
    expect(await get(url + path)).toMatchObject({ status: 404 })
  }
  expect(await get(`${url}/metrics`, 'POST')).toMatchObject({ status: 404 })
  expect(await get(`${url}/healthz`, 'HEAD')).toMatchObject({ status: 200, text: '' })
})

test('a node is ready once it serves, and not while it drains; it is alive all the time', async () => {
  const readiness = createReadiness()
  const { url } = await startAdmin(readiness.isReady)
  const store = openSqliteStore({ file: ':memory:' })
  endings.push(() => store.close())
  expect(await get(`${url}/readyz`)).toMatchObject({ status: 503, text: 'not ready\n' })
  readiness.serve(store)
  expect(await get(`${url}/readyz`)).toMatchObject({ status: 200 })
  readiness.drain()
  expect(await get(`${url}/readyz`)).toMatchObject({ status: 503 })
  expect(await get(`${url}/healthz`)).toMatchObject({ status: 200 })
})

test('a store that fails or does not answer in time makes a node not ready, and is asked once', async () => {
  const readiness = createReadiness(50)
  let asked = 0
  let answer = (): void => {}
  const slow = {
    takesWrites: () => {
      asked += 1
      return new Promise<boolean>((resolve) => {
        answer = () => resolve(true)
      })
    },
  }
  readiness.serve(slow)
  const answers = await Promise.all(Array.from({ length: 20 }, () => readiness.isReady()))
  expect(answers.every((each) => each === false)).toBe(true)
  expect(asked).toBe(1)
  const again = readiness.isReady()
  answer()
  expect(await again).toBe(true)
  readiness.serve({ takesWrites: () => Promise.reject(new StoreFailure('gone')) })
  expect(await readiness.isReady()).toBe(false)
  readiness.serve({ takesWrites: async () => false })
  expect(await readiness.isReady()).toBe(false)
})

test('a port that is taken is an error with its code', async () => {
  const first = await startAdmin(async () => true)
  const port = Number(new URL(first.url).port)
  const { registry } = createMetrics()
  const taken = startAdminServer({ host: '127.0.0.1', port, registry, isReady: async () => true })
  await expect(taken).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
