/** The demo page, through its buttons: what a visitor does, sees and hears. */
import {
  type Browser,
  type BrowserContextOptions,
  test as base,
  expect,
  type Locator,
  type Page,
} from '@playwright/test'
import { type DemoSite, installWallet, startDemoSite } from '../support/demo-site.ts'
import { objections, pane, startChat, widerThanTheScreen, write } from '../support/demo-visit.ts'
import { startNodeProcess } from '../support/node-process.ts'
import type { TestWallet } from '../support/test-wallet.ts'

const phone = { width: 360, height: 640 }

/** A stock Firefox has no dark pages by request, only by a setting from its start on. */
const test = base.extend<{ browserIn: (scheme: 'light' | 'dark') => Promise<Browser> }>({
  browserIn: async ({ browser, browserName, playwright, launchOptions, channel }, use) => {
    const started: Browser[] = []
    await use(async (scheme) => {
      if (browserName !== 'firefox' || scheme === 'light') return browser
      const firefoxUserPrefs = { 'layout.css.prefers-color-scheme.content-override': 0 }
      const options = { ...launchOptions, firefoxUserPrefs, ...(channel ? { channel } : {}) }
      const dark = await playwright.firefox.launch(options)
      started.push(dark)
      return dark
    })
    for (const each of started) await each.close()
  },
})

let site: DemoSite
test.beforeAll(async () => {
  site = await startDemoSite()
})
test.afterAll(async () => {
  await site.close()
})
test.afterEach(async ({ browser }) => {
  for (const context of browser.contexts()) await context.close()
})

/** Alice and Bob, both there. */
const openPeople = async (browser: Browser, options?: BrowserContextOptions): Promise<Page> => {
  const page = await (await browser.newContext(options)).newPage()
  await page.goto(site.url)
  await expect(page.locator('#alice-pane textarea')).toBeAttached()
  await expect(page.locator('#bob-pane textarea')).toBeAttached()
  return page
}

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

const messages = (within: Locator): Locator => within.locator('.message')
const texts = (within: Locator): Promise<string[]> => within.locator('.text').allTextContents()

test('alice writes, bob answers, and a reload keeps everything', async ({ browser }) => {
  const page = await openPeople(browser)
  await write(page, 'Message to Bob', 'Is the boat back?')
  await expect(messages(pane(page, 'bob')).getByText('Is the boat back?')).toBeVisible()
  await expect(messages(pane(page, 'bob')).getByText('Received')).toBeVisible()
  await expect(messages(pane(page, 'alice')).getByText('Sent')).toBeVisible()
  await write(page, 'Message to Alice', 'Since noon.')
  await expect(messages(pane(page, 'alice')).getByText('Since noon.')).toBeVisible()
  await expect(messages(pane(page, 'bob')).getByText('Sent')).toBeVisible()
  // Unless midnight came since it was written.
  await expect(pane(page, 'alice').locator('.day')).toHaveText(/^(Today|Yesterday)$/)

  const addresses = await page.locator('.copy').allTextContents()
  await page.reload()
  await expect(messages(pane(page, 'alice'))).toHaveCount(2)
  await expect(messages(pane(page, 'bob'))).toHaveCount(2)
  expect(await texts(pane(page, 'alice'))).toEqual(['Is the boat back?', 'Since noon.'])
  expect(await texts(pane(page, 'bob'))).toEqual(['Is the boat back?', 'Since noon.'])
  expect(await page.locator('.copy').allTextContents()).toEqual(addresses)
  await expect(pane(page, 'alice').getByRole('status').getByText('Live')).toBeVisible()
  await write(page, 'Message to Bob', 'Then at six.')
  await expect(messages(pane(page, 'bob')).getByText('Then at six.')).toBeVisible()
})

test('a message is text, whatever it says', async ({ browser }) => {
  const page = await openPeople(browser)
  const text = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp; **gm**'
  await write(page, 'Message to Bob', text)
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)
  expect(await texts(pane(page, 'bob'))).toEqual([text])
  expect(await page.locator('main img, main script').count()).toBe(0)
  await expect(page).toHaveTitle('Padlock demo')
})

test('what is written while the node is away goes out by itself later', async ({ browser }) => {
  const page = await openPeople(browser)
  await site.node.kill()
  try {
    await expect(pane(page, 'alice').getByText('Offline')).toBeVisible()
    await expect(pane(page, 'alice').getByText(/goes out by itself/)).toBeVisible()
    await write(page, 'Message to Bob', 'Are you there?')
    await expect(messages(pane(page, 'alice')).getByText('Pending')).toBeVisible()
  } finally {
    await site.node.start()
  }
  await expect(messages(pane(page, 'bob')).getByText('Are you there?')).toBeVisible({
    timeout: 60_000,
  })
  await expect(messages(pane(page, 'alice')).getByText('Sent')).toBeVisible()
  await expect(pane(page, 'alice').locator('.notice')).toHaveCount(0)
})

test('older messages come in while one scrolls up, and new ones wait below', async ({
  browser,
}) => {
  const page = await openPeople(browser)
  const all = Array.from({ length: 100 }, (_, at) => `message ${at}`)
  const [first = '', ...others] = all
  await write(page, 'Message to Bob', first)
  // Of a request, fewer are kept.
  await pane(page, 'bob').getByRole('button', { name: 'Accept' }).click()
  for (const text of others) await write(page, 'Message to Bob', text)
  await expect(messages(pane(page, 'bob')).getByText('message 99')).toBeVisible()
  await page.reload()
  await expect(messages(pane(page, 'bob')).getByText('message 99')).toBeVisible()
  expect(await messages(pane(page, 'bob')).count()).toBeLessThan(100)

  const scroller = pane(page, 'bob').getByRole('region')
  const isAtBottom = () =>
    scroller.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 2)
  expect(await isAtBottom()).toBe(true)
  await scroller.evaluate((box) => {
    box.scrollTop = 100
  })
  await expect.poll(() => messages(pane(page, 'bob')).count()).toBeGreaterThanOrEqual(80)
  // What was in view is still there: not the top, where the older ones now stand.
  expect(await scroller.evaluate((box) => box.scrollTop)).toBeGreaterThan(200)

  const where = await scroller.evaluate((box) => box.scrollTop)
  await write(page, 'Message to Bob', 'message 100')
  const jump = pane(page, 'bob').getByRole('button', { name: '1 new message' })
  await expect(jump).toBeVisible()
  expect(await scroller.evaluate((box) => box.scrollTop)).toBe(where)
  await jump.click()
  await expect(messages(pane(page, 'bob')).getByText('message 100')).toBeInViewport()
  await expect(jump).toBeHidden()

  // To the very first, by the keyboard, then everything is there once and in order.
  await expect(async () => {
    await scroller.press('Home')
    await expect(pane(page, 'bob').getByText('This is the beginning')).toBeVisible({ timeout: 500 })
  }).toPass()
  expect(await texts(pane(page, 'bob'))).toEqual([...all, 'message 100'])
})

test('everything can be done with the keyboard, and is announced', async ({ browser }) => {
  const page = await openPeople(browser)
  const focused = () =>
    page.evaluate(() => {
      const { activeElement } = document
      if (!(activeElement instanceof HTMLElement)) return ''
      const { outlineStyle, outlineWidth } = getComputedStyle(activeElement)
      const around = activeElement.closest('.field')
      const isSeen =
        (outlineStyle !== 'none' && outlineWidth !== '0px') ||
        (around !== null && getComputedStyle(around).outlineStyle !== 'none')
      const label = document.querySelector(`label[for="${activeElement.id}"]`)
      const name =
        activeElement.getAttribute('aria-label') ?? label?.textContent ?? activeElement.textContent
      return `${name}${isSeen ? '' : ' (unseen)'}`
    })
  const order: string[] = []
  for (let step = 0; step < 15; step++) {
    await page.keyboard.press('Tab')
    order.push(await focused())
  }
  expect(order).toEqual([
    'Side by side',
    'Your wallet',
    'Settings',
    'You are both of them: write as Alice, read as Bob.',
    'Start over',
    'Copy the address of Alice',
    'Devices of Alice',
    'Options for Bob',
    'Messages between Alice and Bob',
    'Message to Bob',
    'Copy the address of Bob',
    'Devices of Bob',
    'Options for Alice',
    'Messages between Bob and Alice',
    'Message to Alice',
  ])
  for (let step = 0; step < 5; step++) await page.keyboard.press('Shift+Tab')
  await page.keyboard.type('first line')
  await page.keyboard.press('Shift+Enter')
  await page.keyboard.type('second line')
  await page.keyboard.press('Enter')
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)
  expect(await texts(pane(page, 'bob'))).toEqual(['first line\nsecond line'])
  const log = page.getByRole('log')
  await expect(log).toHaveAttribute('aria-live', 'polite')
  await expect(log).toContainText('Alice to Bob: first line')
  // Blank is nothing to send.
  await page.keyboard.press('Space')
  await expect(pane(page, 'alice').getByRole('button', { name: 'Send' })).toBeDisabled()
  await page.keyboard.press('Enter')
  await page.keyboard.type('again')
  await page.keyboard.press('Enter')
  await expect(messages(pane(page, 'bob'))).toHaveCount(2)
})

test('start over makes two new people and leaves nothing of the old', async ({ browser }) => {
  const page = await openPeople(browser)
  await write(page, 'Message to Bob', 'soon forgotten')
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)
  const keys = () => page.evaluate(() => ({ ...localStorage }))
  const before = await keys()
  await page.getByRole('button', { name: 'Start over' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)

  await page.getByRole('button', { name: 'Start over' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Start over' }).click()
  await expect(page.getByText('No messages yet.')).toHaveCount(2)
  const after = await keys()
  expect(Object.keys(after).toSorted()).toEqual(Object.keys(before).toSorted())
  for (const [name, key] of Object.entries(before)) expect(after[name]).not.toBe(key)
  await write(page, 'Message to Alice', 'pleased to meet you')
  await expect(messages(pane(page, 'alice')).getByText('pleased to meet you')).toBeVisible()
  await expect(messages(pane(page, 'alice'))).toHaveCount(1)
})

test('a second tab is told why it has to wait, and goes on when the first is closed', async ({
  browser,
}) => {
  const first = await openPeople(browser)
  const second = await first.context().newPage()
  await second.goto(site.url)
  await expect(pane(second, 'alice').getByText(/Another tab has this open/)).toBeVisible()
  await expect(pane(second, 'bob').getByText(/Another tab has this open/)).toBeVisible()
  await first.close()
  await expect(pane(second, 'alice').getByText('Live')).toBeVisible({ timeout: 30_000 })
  await write(second, 'Message to Bob', 'here now')
  await expect(messages(pane(second, 'bob')).getByText('here now')).toBeVisible({ timeout: 30_000 })
})

test('a node that is not there is said in words, and can be changed', async ({ browser }) => {
  const page = await (await browser.newContext()).newPage()
  await page.goto(site.url.replace(/node=.*/, 'node=http://127.0.0.1:9'))
  await expect(page.getByText(/The node does not answer/)).toHaveCount(2)
  await page.getByRole('button', { name: 'Settings' }).click()
  const field = page.getByLabel('Address of the node')
  await field.fill('somewhere')
  await field.press('Enter')
  await expect(page.getByText(/not the address of a web server/)).toBeVisible()
  await field.fill(site.node.url)
  await field.press('Enter')
  await expect(pane(page, 'alice').getByText('Live')).toBeVisible()
  await page.reload()
  await expect(pane(page, 'bob').getByText('Live')).toBeVisible()
})

test('another node, or one that lost its data, takes both up again by itself', async ({
  browser,
}) => {
  const page = await openPeople(browser)
  await write(page, 'Message to Bob', 'one')
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)
  const useNode = async (url: string) => {
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByLabel('Address of the node').fill(url)
    const fieldsLeft = await page.getByRole('button', { name: 'Save' }).evaluate((save) => {
      if (save instanceof HTMLElement) save.click()
      return document.querySelectorAll('#main textarea').length
    })
    expect(fieldsLeft, 'nothing can be written into the view that is going').toBe(0)
  }
  const empty = await startNodeProcess()
  try {
    await useNode(empty.url)
    await write(page, 'Message to Bob', 'two')
    await expect(messages(pane(page, 'bob')).getByText('two')).toBeVisible({ timeout: 30_000 })
    await useNode(site.node.url)
    await write(page, 'Message to Bob', 'three')
    await expect(messages(pane(page, 'bob')).getByText('three')).toBeVisible({ timeout: 30_000 })
    await expect(pane(page, 'bob').locator('.notice')).toHaveCount(0)
  } finally {
    await empty.close()
  }
})

for (const scheme of ['light', 'dark'] as const) {
  test(`on a phone in ${scheme} one person is in view, and nothing is cut off`, async ({
    browserIn,
  }) => {
    const page = await openPeople(await browserIn(scheme), { viewport: phone, colorScheme: scheme })
    const red = await page.evaluate(() =>
      Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]),
    )
    expect(red > 128 ? 'light' : 'dark').toBe(scheme)
    await expect(pane(page, 'bob')).not.toBeVisible()
    await write(page, 'Message to Bob', `a long word: ${'long'.repeat(60)}`)
    await page.getByRole('button', { name: 'Bob 1 new' }).click()
    await expect(pane(page, 'alice')).not.toBeVisible()
    await expect(messages(pane(page, 'bob'))).toBeVisible()
    expect(await widerThanTheScreen(page)).toBe(0)
    const box = await messages(pane(page, 'bob')).boundingBox()
    expect((box?.x ?? 0) + (box?.width ?? 999)).toBeLessThanOrEqual(phone.width)
    expect(await objections(page)).toEqual([])
    await page.getByRole('button', { name: 'Settings' }).click()
    expect(await widerThanTheScreen(page)).toBe(0)
  })

  test(`nothing is hard to see, or to hear, in ${scheme}`, async ({ browserIn }) => {
    const page = await openPeople(await browserIn(scheme), { colorScheme: scheme })
    await write(page, 'Message to Bob', 'gm')
    await write(page, 'Message to Alice', 'gm to you')
    await expect(messages(pane(page, 'alice'))).toHaveCount(2)
    expect(await objections(page)).toEqual([])
    await page.getByRole('button', { name: 'Settings' }).click()
    expect(await objections(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Devices of Alice' }).click()
    await expect(page.getByRole('dialog').getByText('Active', { exact: true })).toHaveCount(2)
    expect(await objections(page)).toEqual([])
  })
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
  await expect(messages(pane(page, 'bob')).getByText('no wallet needed')).toBeVisible()
  await page.getByRole('link', { name: 'Your wallet' }).click()
  await page.getByRole('link', { name: 'Side by side' }).click()
  await expect(messages(pane(page, 'bob')).getByText('no wallet needed')).toBeVisible()
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
  await expect(one.page.locator('.message').getByText('Hello from the desk')).toBeVisible()
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
