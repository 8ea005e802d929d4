/** The demo with a wallet of one's own: finding it, being declined by it, and writing to somebody elsewhere. */
import { type Browser, type BrowserContextOptions, expect, type Page, test } from '@playwright/test'
import { TcpProxy } from '../node/tcp-proxy.ts'
import { installWallet } from '../support/demo-site.ts'
import {
  objections,
  pane,
  said,
  serveDemo,
  startChat,
  widerThanTheScreen,
  write,
} from '../support/demo-visit.ts'
import type { TestWallet } from '../support/test-wallet.ts'

const phone = { width: 360, height: 640 }

const site = serveDemo()

const openWithWallet = async (
  browser: Browser,
  options?: BrowserContextOptions,
): Promise<{ page: Page; wallet: TestWallet }> => {
  const context = await browser.newContext(options)
  const wallet = await installWallet(context)
  const page = await context.newPage()
  await page.goto(`${site.url}#wallet`)
  return { page, wallet }
}

const connect = async (page: Page): Promise<void> => {
  await page.getByRole('button', { name: 'Harbour Wallet' }).click()
  await expect(page.getByLabel('Write to an address')).toBeVisible()
}

test('a browser without a wallet is told so, and what to do instead', async ({ browser }) => {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${site.url}#wallet`)
  await expect(page.getByRole('heading', { name: 'No wallet found' })).toBeVisible()
  await page.getByRole('link', { name: 'look at two people side by side' }).click()
  await expect(pane(page, 'alice').getByText('Live')).toBeVisible()
})

test('a wallet that declines is not an accident', async ({ browser }) => {
  const { page, wallet } = await openWithWallet(browser)
  wallet.mood = 'declines'
  await page.getByRole('button', { name: 'Harbour Wallet' }).click()
  await expect(page.getByText(/You declined in your wallet/)).toBeVisible()
  wallet.mood = 'signs'
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect(page.getByLabel('Write to an address')).toBeVisible()
  expect(wallet.asked).toHaveLength(2)
})

test('a wallet that never answers can be given up, and the other mode still works', async ({
  browser,
}) => {
  const { page, wallet } = await openWithWallet(browser)
  wallet.mood = 'never answers'
  await page.getByRole('button', { name: 'Harbour Wallet' }).click()
  await expect.poll(() => wallet.asked.length).toBe(1)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await expect(page.getByRole('heading', { name: 'Choose your wallet' })).toBeVisible()
  await page.getByRole('link', { name: 'Side by side' }).click()
  await write(page, 'Message to Bob', 'no wallet needed')
  await expect(said(pane(page, 'bob'), 'no wallet needed')).toBeVisible()
  await page.getByRole('link', { name: 'Your wallet' }).click()
  await page.getByRole('link', { name: 'Side by side' }).click()
  await expect(said(pane(page, 'bob'), 'no wallet needed')).toBeVisible()
})

test('behind a line of six seconds the wallet is asked while the click lasts, and the rest follows by itself', async ({
  browser,
}) => {
  const line = await TcpProxy.start(new URL(site.node.url))
  try {
    line.become({ delayMs: 3_000 })
    const context = await browser.newContext()
    const wallet = await installWallet(context)
    const page = await context.newPage()
    const url = new URL(site.url)
    url.searchParams.set('node', line.through(site.node.url))
    await page.goto(`${url}#wallet`)
    await page.getByRole('button', { name: 'Harbour Wallet' }).click()
    await expect.poll(() => wallet.couldOpen).toEqual([true])
    line.become('whole')
    await expect(page.getByLabel('Write to an address')).toBeVisible({ timeout: 60_000 })
    expect(wallet.asked).toHaveLength(1)
  } finally {
    await line.close()
  }
})

test('two wallets in two browsers find each other, though one comes later', async ({ browser }) => {
  const one = await openWithWallet(browser, { viewport: phone })
  const other = await openWithWallet(browser)
  expect(await objections(one.page)).toEqual([])
  await connect(one.page)

  await startChat(one.page, other.wallet.address.slice(0, -1))
  await expect(one.page.getByText(/An address is 0x followed by 40/)).toBeVisible()
  const wrong = other.wallet.address.replace(/[a-f]/i, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  )
  await startChat(one.page, wrong)
  await expect(one.page.getByText(/do not match its checksum/)).toBeVisible()

  await startChat(one.page, other.wallet.address)
  await expect(one.page.getByText(/has not opened Padlock yet/)).toBeVisible()
  await write(one.page, /^Message to/, 'Hello from the phone')
  await expect(one.page.getByText(/Your message waits here/)).toBeVisible()
  expect(await widerThanTheScreen(one.page)).toBe(0)
  expect(await objections(one.page)).toEqual([])

  await connect(other.page)
  await expect(one.page.locator('.message').getByText('Sent')).toBeVisible({ timeout: 30_000 })
  await expect(one.page.getByText(/waits here/)).toBeHidden()
  await other.page.getByRole('button', { name: /Hello from the phone/ }).click()
  await write(other.page, /^Message to/, 'Hello from the desk')
  await expect(said(one.page, 'Hello from the desk')).toBeVisible()
  expect(await objections(other.page)).toEqual([])

  await one.page.reload()
  await one.page.getByRole('button', { name: /Hello from the desk/ }).click()
  await expect(one.page.locator('.chat .text')).toHaveText([
    'Hello from the phone',
    'Hello from the desk',
  ])
  // The wallet signed once each, and nothing was asked of it for coming back.
  expect(one.wallet.asked).toHaveLength(1)
  expect(other.wallet.asked).toHaveLength(1)
  await one.page.getByRole('button', { name: 'All conversations' }).click()
  await one.page.getByRole('button', { name: 'Disconnect' }).click()
  await expect(one.page.getByRole('heading', { name: 'Choose your wallet' })).toBeVisible()
  await connect(one.page)
  await expect(one.page.getByRole('button', { name: /Hello from the desk/ })).toBeVisible()
  expect(one.wallet.asked).toHaveLength(1)

  await one.page.getByRole('button', { name: 'Start over' }).click()
  await one.page.getByRole('dialog').getByRole('button', { name: 'Start over' }).click()
  await connect(one.page)
  await expect(one.page.getByText(/No conversations yet/)).toBeVisible()
  expect(one.wallet.asked).toHaveLength(2)
})
