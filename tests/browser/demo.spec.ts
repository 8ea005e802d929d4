/** The demo page, two people side by side: what a visitor does, sees and hears. */
import { expect, type Locator, test } from '@playwright/test'
import { messages, openPeople, pane, said, serveDemo, write } from '../support/demo-visit.ts'
import { startNodeProcess } from '../support/node-process.ts'

const site = serveDemo()

const texts = (within: Locator): Promise<string[]> => within.locator('.text').allTextContents()

test('alice writes, bob answers, and a reload keeps everything', async ({ browser }) => {
  const page = await openPeople(browser, site)
  await write(page, 'Message to Bob', 'Is the boat back?')
  await expect(said(pane(page, 'bob'), 'Is the boat back?')).toBeVisible()
  await expect(messages(pane(page, 'bob')).getByText('Received')).toBeVisible()
  await expect(messages(pane(page, 'alice')).getByText('Sent')).toBeVisible()
  await write(page, 'Message to Alice', 'Since noon.')
  await expect(said(pane(page, 'alice'), 'Since noon.')).toBeVisible()
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
  await expect(said(pane(page, 'bob'), 'Then at six.')).toBeVisible()
})

test('a message is text, whatever it says', async ({ browser }) => {
  const page = await openPeople(browser, site)
  const text = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp; **gm**'
  await write(page, 'Message to Bob', text)
  await expect(messages(pane(page, 'bob'))).toHaveCount(1)
  expect(await texts(pane(page, 'bob'))).toEqual([text])
  expect(await page.locator('main img, main script').count()).toBe(0)
  await expect(page).toHaveTitle('Padlock demo')
})

test('what is written while the node is away goes out by itself later', async ({ browser }) => {
  const page = await openPeople(browser, site)
  await site.node.kill()
  try {
    await expect(pane(page, 'alice').getByText('Offline')).toBeVisible()
    await expect(pane(page, 'alice').getByText(/goes out by itself/)).toBeVisible()
    await write(page, 'Message to Bob', 'Are you there?')
    await expect(messages(pane(page, 'alice')).getByText('Pending')).toBeVisible()
  } finally {
    await site.node.start()
  }
  await expect(said(pane(page, 'bob'), 'Are you there?')).toBeVisible({
    timeout: 60_000,
  })
  await expect(messages(pane(page, 'alice')).getByText('Sent')).toBeVisible()
  await expect(pane(page, 'alice').locator('.notice')).toHaveCount(0)
})

test('a page that is online again looks at its line at once', async ({ browser }) => {
  const page = await openPeople(browser, site)
  await expect(pane(page, 'alice').getByRole('status').getByText('Live')).toBeVisible()
  // Another stream, while the old one still seems to be whole.
  const stream = page.context().waitForEvent('request', (one) => one.url().endsWith('/Subscribe'))
  await page.evaluate(() => window.dispatchEvent(new Event('online')))
  await stream
})

test('older messages come in while one scrolls up, and new ones wait below', async ({
  browser,
}) => {
  const page = await openPeople(browser, site)
  const all = Array.from({ length: 100 }, (_, at) => `message ${at}`)
  const [first = '', ...others] = all
  await write(page, 'Message to Bob', first)
  // Of a request, fewer are kept.
  await pane(page, 'bob').getByRole('button', { name: 'Accept' }).click()
  for (const text of others) await write(page, 'Message to Bob', text)
  await expect(said(pane(page, 'bob'), 'message 99')).toBeVisible()
  await page.reload()
  await expect(said(pane(page, 'bob'), 'message 99')).toBeVisible()
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
  await expect(said(pane(page, 'bob'), 'message 100')).toBeInViewport()
  await expect(jump).toBeHidden()

  // To the very first, by the keyboard, then everything is there once and in order.
  await expect(async () => {
    await scroller.press('Home')
    await expect(pane(page, 'bob').getByText('This is the beginning')).toBeVisible({ timeout: 500 })
  }).toPass()
  expect(await texts(pane(page, 'bob'))).toEqual([...all, 'message 100'])
})

test('everything can be done with the keyboard, and is announced', async ({ browser }) => {
  const page = await openPeople(browser, site)
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
  const page = await openPeople(browser, site)
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
  await expect(said(pane(page, 'alice'), 'pleased to meet you')).toBeVisible()
  await expect(messages(pane(page, 'alice'))).toHaveCount(1)
})

test('a second tab is told why it has to wait, and goes on when the first is closed', async ({
  browser,
}) => {
  const first = await openPeople(browser, site)
  const second = await first.context().newPage()
  await second.goto(site.url)
  await expect(pane(second, 'alice').getByText(/Another tab has this open/)).toBeVisible()
  await expect(pane(second, 'bob').getByText(/Another tab has this open/)).toBeVisible()
  await first.close()
  await expect(pane(second, 'alice').getByText('Live')).toBeVisible({ timeout: 30_000 })
  await write(second, 'Message to Bob', 'here now')
  await expect(said(pane(second, 'bob'), 'here now')).toBeVisible({ timeout: 30_000 })
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
  const page = await openPeople(browser, site)
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
    await expect(said(pane(page, 'bob'), 'two')).toBeVisible({ timeout: 30_000 })
    await useNode(site.node.url)
    await write(page, 'Message to Bob', 'three')
    await expect(said(pane(page, 'bob'), 'three')).toBeVisible({ timeout: 30_000 })
    await expect(pane(page, 'bob').locator('.notice')).toHaveCount(0)
  } finally {
    await empty.close()
  }
})
