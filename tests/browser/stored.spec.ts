/** A database that release 0.1 wrote, in a real browser: it opens, and nothing in it is lost. */
import { expect } from '@playwright/test'
import { privateKeyToAccount } from 'viem/accounts'
import old from '../store/stored/0.1.json' with { type: 'json' }
import { loadStored } from '../store/stored/load.ts'
import type { BrowserPage, BrowserProfile } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { Recorder } from '../support/record.ts'
import { type StaticServer, serveTestPage } from '../support/static-server.ts'
import type { Shown } from '../support/world.ts'

const account = privateKeyToAccount(old.wallet.privateKey as `0x${string}`)
const { database, address, expected } = old
const messages = expected.conversations.flatMap((one) => one.messages)

let server: StaticServer
let node: NodeProcess
test.beforeAll(async () => {
  server = await serveTestPage()
  node = await startNodeProcess()
})
test.afterAll(async () => {
  await server.close()
  await node.close()
})

interface Opened {
  readonly page: BrowserPage
  /** What the stream gave from the very first message on. */
  readonly streamed: Recorder<Shown>
  readonly asked: { count: number }
}

const openOld = async (profile: BrowserProfile, url: string): Promise<Opened> => {
  const streamed = new Recorder<Shown>()
  const asked = { count: 0 }
  await profile.expose('walletSign', (_address: string, message: string) => {
    asked.count += 1
    return account.signMessage({ message })
  })
  await profile.expose('streamed', (message: Shown) => streamed.push(message))
  const page = await profile.newPage()
  await page.goto(server.url)
  await page.waitForFunction(() => window.page !== undefined)
  await page.evaluate(loadStored, old)
  await page.evaluate((given) => window.page.open(given), { address, node: url, database })
  return { page, streamed, asked }
}

const expectEverything = async ({ page, streamed }: Opened): Promise<void> => {
  expect(await page.evaluate(() => window.page.installationId())).toBe(expected.installationId)
  for (const { peer, messages: wanted } of expected.conversations) {
    const history = await page.evaluate((of) => window.page.history(of), peer)
    expect(history).toMatchObject(
      wanted.map(({ id, sender, content }) => ({ id, sender, content })),
    )
  }
  const inOrder = messages.toSorted((one, other) => one.arrival - other.arrival)
  expect((await streamed.atLeast(inOrder.length)).map(({ id }) => id)).toEqual(
    inOrder.map(({ id }) => id),
  )
}

test('without a node it opens, and every message is read in its order', async ({ newProfile }) => {
  const opened = await openOld(await newProfile(), 'http://127.0.0.1:9')
  await expectEverything(opened)
  const listed = await opened.page.evaluate(async () =>
    (await window.page.client().conversations()).map(({ peer, messageCount, consent }) => ({
      peer,
      messageCount,
      consent,
    })),
  )
  // Who was answered is accepted, and so are notes to oneself.
  const answered = (one: (typeof expected.conversations)[number]) =>
    one.peer === address || one.messages.some(({ sender }) => sender === address)
  expect(listed).toHaveLength(expected.conversations.length)
  for (const one of expected.conversations) {
    expect(listed).toContainEqual({
      peer: one.peer,
      messageCount: one.messages.length,
      consent: answered(one) ? 'allowed' : 'unknown',
    })
  }
  expect(opened.asked.count).toBe(0)
})

test('at a fresh node it registers its installation without asking the wallet, and writes on', async ({
  newProfile,
}) => {
  const opened = await openOld(await newProfile(), node.url)
  const { page, asked } = opened
  await page.evaluate(() => window.page.reached('live'))
  await expectEverything(opened)
  await page.evaluate((self) => window.page.send(self, 'a note of today', 'sent'), address)
  expect(asked.count).toBe(0)
  // A second time, when it is of this release.
  await page.evaluate(() => window.page.close())
  await page.evaluate((given) => window.page.open(given), { address, node: node.url, database })
  const notes = await page.evaluate((self) => window.page.history(self), address)
  expect(notes.at(-1)).toMatchObject({ content: 'a note of today', state: 'sent' })
  expect(asked.count).toBe(0)
})
