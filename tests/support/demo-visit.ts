/** Visiting the demo with Playwright's own pages: what its tests do over and over. */
import {
  type Browser,
  type BrowserContextOptions,
  expect,
  type Locator,
  type Page,
  test,
} from '@playwright/test'
import type { AxeResults } from 'axe-core'
import { axeSource, listObjections } from './axe.ts'
import { type DemoSite, installWallet, startDemoSite } from './demo-site.ts'

/** Serves the demo to the tests of a file, each of which begins without the pages of those before. */
export const serveDemo = (): Pick<DemoSite, 'url' | 'node'> => {
  let site: DemoSite | undefined
  test.beforeAll(async () => {
    site = await startDemoSite()
  })
  test.afterAll(() => site?.close())
  test.afterEach(async ({ browser }) => {
    for (const context of browser.contexts()) await context.close()
  })
  const started = (): DemoSite => {
    if (!site) throw new Error('the demo is served once the tests run')
    return site
  }
  return {
    get url() {
      return started().url
    },
    get node() {
      return started().node
    },
  }
}

/** Alice and Bob, both there. */
export const openPeople = async (
  browser: Browser,
  { url }: Pick<DemoSite, 'url'>,
  options?: BrowserContextOptions,
): Promise<Page> => {
  const page = await (await browser.newContext(options)).newPage()
  await page.goto(url)
  await expect(pane(page, 'alice').locator('textarea')).toBeAttached()
  await expect(pane(page, 'bob').locator('textarea')).toBeAttached()
  return page
}

export const pane = (page: Page, name: 'alice' | 'bob'): Locator => page.locator(`#${name}-pane`)

/** Someone with a wallet of their own. */
export interface WalletVisitor {
  readonly page: Page
  readonly address: string
}

/** Connected, with all conversations in view. */
export const openWithWallet = async (
  browser: Browser,
  { url }: Pick<DemoSite, 'url'>,
  options?: BrowserContextOptions,
): Promise<WalletVisitor> => {
  const context = await browser.newContext(options)
  const { address } = await installWallet(context)
  const page = await context.newPage()
  await page.goto(`${url}#wallet`)
  await page.getByRole('button', { name: 'Harbour Wallet' }).click()
  await expect(page.getByText('Live').first()).toBeVisible()
  return { page, address }
}

/** Opens the conversation with an address that is typed. */
export const startChat = async (page: Page, address: string): Promise<void> => {
  await page.getByLabel('Write to an address').fill(address)
  await page.getByRole('button', { name: 'Write', exact: true }).click()
}

export const write = async (page: Page, to: string | RegExp, text: string): Promise<void> => {
  const field = page.getByRole('textbox', { name: to })
  await field.fill(text)
  await field.press('Enter')
}

/** Where a request is answered, and a blocked account unblocked. */
export const decision = (within: Page | Locator): Locator =>
  within.getByRole('region', { name: /^What you decide about / })

export const messages = (within: Page | Locator): Locator => within.locator('.message')

/** A message by its whole text: with the time that follows it, "message 1" reads "message 11:02 PM". */
export const said = (within: Page | Locator, text: string): Locator =>
  messages(within).getByText(text, { exact: true })

/** What a tool for accessibility objects to, contrast of at least 4.5:1 included. */
export const objections = async (page: Page): Promise<readonly string[]> => {
  // A message that moves in is fainter while it does; one that is replaced meanwhile never arrives.
  await page.evaluate(async () => {
    await Promise.allSettled(document.getAnimations().map(({ finished }) => finished))
  })
  await page.evaluate(axeSource)
  return listObjections(await page.evaluate<AxeResults>('axe.run(document)'))
}

export const widerThanTheScreen = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
