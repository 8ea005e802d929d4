/** What becomes of a client whose browser stores nothing, loses what it stored, or clears it meanwhile. */
import { expect } from '@playwright/test'
import { anAccount } from '../support/accounts.ts'
import type { BrowserPage, BrowserProfile } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type StaticServer, serveTestPage } from '../support/static-server.ts'

let node: NodeProcess
let server: StaticServer
let profile: BrowserProfile
let page: BrowserPage
const account = anAccount()

test.beforeAll(async () => {
  node = await startNodeProcess()
  server = await serveTestPage({ 'access-control-allow-origin': '*' })
})
test.afterAll(async () => {
  await server.close()
  await node.close()
})
test.beforeEach(async ({ engine }) => {
  profile = await engine.newProfile()
  await profile.expose('walletSign', (_address: string, message: string) =>
    account.signMessage({ message }),
  )
  await profile.expose('streamed', () => undefined)
  page = await profile.newPage()
  await page.goto(server.url)
  await page.waitForFunction(() => window.page !== undefined)
})
test.afterEach(() => profile.close())

const database = 'mine'
const open = () =>
  page.evaluate((options) => window.page.open(options), {
    address: account.address,
    node: node.url,
    database,
  })

test('a sandboxed frame is told what it lacks, by both entries, before anything starts', async () => {
  const codes = await page.evaluate(async () => {
    const frame = document.createElement('iframe')
    frame.setAttribute('sandbox', 'allow-scripts')
    const answers: unknown[] = []
    const bothAnswered = new Promise<unknown[]>((resolve) => {
      addEventListener('message', ({ data }) => {
        if (answers.push(data) === 2) resolve(answers)
      })
    })
    const url = new URL('/dist/', location.href).href
    frame.srcdoc = ['index.js', 'inline.js']
      .map(
        (file) => `<script type="module">
          import { createClient } from '${url}${file}'
          const wallet = { request: () => { throw new Error('asked') } }
          createClient({ wallet, node: 'https://node.example' }).catch(({ code, message }) =>
            parent.postMessage([code, message.includes('allow-same-origin')], '*'))
        </script>`,
      )
      .join('')
    document.body.append(frame)
    return bothAnswered
  })
  expect(codes).toEqual([
    ['storage_unavailable', true],
    ['storage_unavailable', true],
  ])
})

test('a damaged database names itself, can be deleted without a client, and then opens anew', async () => {
  await open()
  await page.evaluate(() => window.page.close())
  await page.evaluate((name) => window.page.damage(name), database)
  const options = { address: account.address, node: node.url, database }
  const error = await page.evaluate((given) => window.page.openError(given), options)
  expect(error).toMatchObject({ code: 'storage_damaged', details: { database } })
  expect(error?.message).toContain('deleteLocalData')
  expect(await page.evaluate((name) => window.page.deleteDatabase(name), database)).toBeUndefined()
  await open()
  // The person knows: they deleted it.
  const warnings = await page.evaluate(() => window.page.warningsInFull())
  expect(warnings.map(({ code }) => code)).not.toContain('data_lost')
})

test('the database of an account is deleted by its address, but not while a client has it open', async () => {
  const { address } = account
  const options = { address, node: node.url }
  await page.evaluate((given) => window.page.open(given), options)
  const inUse = await page.evaluate((of) => window.page.deleteDataOf(of), address)
  expect(inUse).toMatchObject({ code: 'storage_in_use' })
  await page.evaluate(() => window.page.close())
  expect(await page.evaluate(() => window.page.databaseNames())).toHaveLength(1)
  expect(await page.evaluate((of) => window.page.deleteDataOf(of), address)).toBeUndefined()
  expect(await page.evaluate(() => window.page.databaseNames())).toEqual([])
  const typing = await page.evaluate(() => window.page.deleteDataOf('0x12'))
  expect(typing).toMatchObject({ code: 'invalid_address' })
})

test('a client that was closed still deletes its data', async () => {
  await open()
  await page.evaluate(() => window.page.close())
  expect(await page.evaluate(() => window.page.databaseNames())).toEqual([database])
  await page.evaluate(() => window.page.deleteLocalData())
  expect(await page.evaluate(() => window.page.databaseNames())).toEqual([])
})

test('a browser that dropped a database in silence: the application is told which device is gone', async () => {
  await open()
  const gone = await page.evaluate(() => window.page.installationId())
  await page.evaluate(() => window.page.close())
  await page.evaluate((name) => window.page.drop(name), database)
  await open()
  const [lost, ...others] = (await page.evaluate(() => window.page.warningsInFull())).filter(
    ({ code }) => code === 'data_lost',
  )
  expect(lost).toMatchObject({ count: 1, details: { installationId: gone } })
  expect(lost?.message).toContain('Revoke the old one')
  expect(others).toEqual([])
  // Only once: the new device is known now.
  await page.evaluate(() => window.page.close())
  await open()
  const later = await page.evaluate(() => window.page.warningsInFull())
  expect(later.map(({ code }) => code)).not.toContain('data_lost')
})

test('data that is cleared under a client ends it, and every call and stream says so', async () => {
  await open()
  await page.evaluate(() => window.page.reached('live'))
  await page.evaluate((name) => window.page.drop(name), database)
  const { address } = account
  const sending = await page.evaluate((peer) => window.page.sendCode(peer, 'gm'), address)
  expect(sending).toBe('storage_lost')
  const asking = await page.evaluate((peer) => window.page.conversationCode(peer), address)
  expect(asking).toBe('storage_lost')
  expect(await page.evaluate(() => window.page.state())).toBe('closed')
  await expect
    .poll(() => page.evaluate(() => window.page.ended()), { timeout: 5_000 })
    .toBe('storage_lost')
  // What is left can be deleted by the client that ended.
  expect(await page.evaluate(() => window.page.databaseNames())).toEqual([])
  await page.evaluate(() => window.page.deleteLocalData())
  // And the way out is the one that the message names.
  await open()
  await page.evaluate(() => window.page.reached('live'))
})
