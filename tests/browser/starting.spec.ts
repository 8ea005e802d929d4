/**
 * How the SDK starts its worker and wasm when the usual way fails: missing files, another origin,
 * content policies, Trusted Types, files of two releases. And what it reports.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@playwright/test'

import { root } from '../../scripts/files.ts'
import { anAccount } from '../support/accounts.ts'
import type { BrowserEngine, BrowserPage, BrowserProfile } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type StaticServer, serveTestPage } from '../support/static-server.ts'
import type { OpenOptions, ReadError } from './page/page.ts'

let node: NodeProcess
const servers: StaticServer[] = []
const profiles: BrowserProfile[] = []
test.beforeAll(async () => {
  node = await startNodeProcess()
})
test.afterAll(() => node.close())
test.afterEach(async () => {
  for (const profile of profiles.splice(0)) await profile.close()
  for (const server of servers.splice(0)) await server.close()
})

const serve = async (...args: Parameters<typeof serveTestPage>): Promise<StaticServer> => {
  const server = await serveTestPage(...args)
  servers.push(server)
  return server
}

const policy = (text: string) => ({ 'content-security-policy': text })

interface Visit {
  readonly page: BrowserPage
  readonly address: string
}

/** Opens the page of a server, with a wallet of its own. */
const visit = async (engine: BrowserEngine, { url }: StaticServer): Promise<Visit> => {
  const account = anAccount()
  const profile = await engine.newProfile()
  profiles.push(profile)
  await profile.expose('walletSign', (_address: string, message: string) =>
    account.signMessage({ message }),
  )
  await profile.expose('streamed', () => undefined)
  const page = await profile.newPage()
  await page.goto(url)
  await page.waitForFunction(() => window.page !== undefined)
  return { page, address: account.address }
}

const openError = (
  { page, address }: Visit,
  options: Partial<OpenOptions> = {},
): Promise<ReadError | undefined> =>
  page.evaluate((given) => window.page.openError(given), { address, node: node.url, ...options })

/** A note to oneself reaches the node: worker, wasm, wallet and network all work. */
const writeNote = async ({ page, address }: Visit): Promise<void> => {
  await page.evaluate((self) => window.page.send(self, 'a note', 'sent'), address)
  await page.evaluate(() => window.page.close())
}

const saidIn = ({ page }: Visit): Promise<readonly string[]> =>
  page.evaluate(() => window.page.said())

test('files beside the module are found, and nothing is said', async ({ engine }) => {
  const at = await visit(engine, await serve())
  expect(await openError(at)).toBeUndefined()
  await writeNote(at)
  expect(await saidIn(at)).toEqual([])
})

test('without worker.js and padlock.wasm the copy inside the SDK runs, and that is said once', async ({
  engine,
}) => {
  const missing = ['/dist/worker.js', '/dist/padlock.wasm']
  const server = await serve({}, {}, { missing })
  const at = await visit(engine, server)
  const both = ['first', 'second'].map((database) => openError(at, { database }))
  expect(await Promise.all(both)).toEqual([undefined, undefined])
  await writeNote(at)
  const said = await saidIn(at)
  expect(said).toHaveLength(1)
  expect(said[0]).toContain(`${server.url}dist/worker.js: status 404`)
  expect(said[0]).toContain('createWorker')
})

test('a page instead of worker.js is named by what it was served as', async ({ engine }) => {
  // As servers of single-page applications answer whatever they do not know.
  const body = Buffer.from('<!doctype html>')
  const instead = { '/dist/worker.js': { type: 'text/html', body } }
  const at = await visit(engine, await serve({}, {}, { instead }))
  expect(await openError(at)).toBeUndefined()
  expect((await saidIn(at)).join()).toContain('served as text/html')
})

test('without padlock.wasm alone the copy inside the SDK is used, and that is said once', async ({
  engine,
}) => {
  const at = await visit(engine, await serve({}, {}, { missing: ['/dist/padlock.wasm'] }))
  const both = ['first', 'second'].map((database) => openError(at, { database }))
  expect(await Promise.all(both)).toEqual([undefined, undefined])
  await writeNote(at)
  const said = await saidIn(at)
  expect(said).toHaveLength(1)
  expect(said[0]).toContain('/dist/padlock.wasm: status 404')
  expect(said[0]).toContain('wasmUrl')
})

test('all files on another origin that allows it: the worker starts from a blob', async ({
  engine,
}) => {
  const elsewhere = await serve({ 'access-control-allow-origin': '*' })
  const { origin } = new URL(elsewhere.url)
  const at = await visit(engine, await serve({}, {}, { sdkAt: origin }))
  expect(await openError(at)).toBeUndefined()
  await writeNote(at)
  const said = await saidIn(at)
  expect(said).toHaveLength(1)
  expect(said[0]).toContain('is on another origin')
})

test('a policy that allows workers only from blobs is enough', async ({ engine }) => {
  const at = await visit(engine, await serve(policy('worker-src blob:')))
  expect(await openError(at)).toBeUndefined()
  await writeNote(at)
  expect((await saidIn(at))[0]).toContain('content policy')
})

for (const inline of [false, true]) {
  const entry = inline ? 'the inline entry' : 'the plain entry'

  test(`Trusted Types that allow the policy “padlock”: ${entry} starts`, async ({ engine }) => {
    const rules = "require-trusted-types-for 'script'; trusted-types padlock"
    const at = await visit(engine, await serve(policy(rules)))
    expect(await openError(at, { inline })).toBeUndefined()
    await writeNote(at)
    expect(await saidIn(at)).toEqual([])
  })

  test(`Trusted Types that do not: ${entry} says so`, async ({ engine }) => {
    const at = await visit(
      engine,
      await serve(policy("require-trusted-types-for 'script'; trusted-types app")),
    )
    const isEnforced = await at.page.evaluate(() => 'trustedTypes' in globalThis)
    const error = await openError(at, { inline })
    if (!isEnforced) return expect(error).toBeUndefined()
    expect(error?.code).toBe('worker_unavailable')
    expect(error?.details.tried).toMatch(/content policy|TrustedScriptURL|Sink type mismatch/)
  })

  test(`a policy that forbids workers: ${entry} names it`, async ({ engine }) => {
    const at = await visit(engine, await serve(policy("worker-src 'none'")))
    const error = await openError(at, { inline })
    expect(error?.code).toBe('worker_unavailable')
    expect(error?.message).toContain('content policy')
    expect(error?.details.tried).toContain('worker-src')
  })
}

test('a policy without wasm-unsafe-eval is named, and so is the file', async ({ engine }) => {
  const at = await visit(engine, await serve(policy("script-src 'self'")))
  const error = await openError(at)
  expect(error?.code).toBe('wasm_unavailable')
  expect(error?.details.tried).toContain('/dist/padlock.wasm')
  expect(error?.message).toContain('wasm-unsafe-eval')
})

test('a policy that forbids the node, or the wasm’s file, is named', async ({
  engine,
  browserName,
}) => {
  // WebKit reports to a worker nothing of what it refuses there.
  const reported = browserName === 'webkit' ? 'Load failed' : 'the content policy forbids that'
  const forNode = await visit(engine, await serve(policy("connect-src 'self'")))
  const error = await openError(forNode)
  expect(error?.code).toBe('network_unavailable')
  expect(error?.message).toContain(reported)

  const forFile = await visit(engine, await serve(policy(`connect-src ${node.url}`)))
  expect(await openError(forFile)).toBeUndefined()
  await writeNote(forFile)
  expect((await saidIn(forFile)).join()).toContain(reported)
})

test('what is served instead of the wasm is named, with address and status', async ({ engine }) => {
  const server = await serve()
  const at = await visit(engine, server)
  expect(await openError(at, { wasmUrl: '/nothing.wasm?key=secret' })).toMatchObject({
    code: 'wasm_unavailable',
    details: { address: `${server.url}nothing.wasm`, status: 404 },
  })
  expect(await openError(at, { wasmUrl: '/' })).toMatchObject({
    code: 'wasm_unavailable',
    details: { status: 200, contentType: 'text/html' },
  })
  expect(await openError(at, { wasmUrl: 'https://' })).toMatchObject({
    code: 'invalid_argument',
  })
})

const built = (name: string): string => readFileSync(join(root, 'dist', name), 'latin1')

/** The same file, as if it came from a build that is one character apart. */
const ofOtherRelease = (text: string): string => {
  const [release = ''] = /\d+\.\d+\.\d+\+[0-9a-f]{12}/.exec(text) ?? []
  expect(release).not.toBe('')
  return text.replaceAll(release, `${release.slice(0, -1)}${release.endsWith('0') ? '1' : '0'}`)
}

test('a worker of another release is reload_needed at once', async ({ engine }) => {
  const at = await visit(
    engine,
    await serve({}, { '/dist/worker.js': ofOtherRelease(built('worker.js')) }),
  )
  const began = Date.now()
  expect(await openError(at)).toMatchObject({ code: 'reload_needed' })
  // The wait for a worker that says nothing takes 20 s.
  expect(Date.now() - began).toBeLessThan(15_000)
})

test('wasm of another release is reload_needed, and no wallet is asked', async ({ engine }) => {
  const body = Buffer.from(ofOtherRelease(built('padlock.wasm')), 'latin1')
  const instead = { '/dist/padlock.wasm': { type: 'application/wasm', body } }
  const at = await visit(engine, await serve({}, {}, { instead }))
  expect(await openError(at)).toMatchObject({ code: 'reload_needed' })
})

test('a wallet’s own code and words reach the application', async ({ engine }) => {
  const at = await visit(engine, await serve())
  const busy = { code: -32002, message: 'Already processing eth_requestAccounts. Please wait.' }
  expect(await openError(at, { walletError: busy })).toMatchObject({
    code: 'wallet_pending',
    details: { walletCode: -32002, walletMessage: busy.message },
    cause: `Error: ${busy.message}`,
  })
  const no = { code: 4001, message: 'User denied message signature.' }
  expect(await openError(at, { walletError: no })).toMatchObject({
    code: 'wallet_rejected',
    details: { walletCode: 4001, walletMessage: no.message },
  })
})

test('an unreachable node is named, with what was asked of it', async ({ engine }) => {
  const at = await visit(engine, await serve())
  const error = await openError(at, { node: 'http://127.0.0.1:9' })
  expect(error?.code).toBe('network_unavailable')
  expect(error?.message).toContain('GetInfo at http://127.0.0.1:9/')
})
