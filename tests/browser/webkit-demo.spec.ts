/**
 * The demo in WebKitGTK, which Playwright does not drive here: what a visitor comes for, by mouse and
 * keyboard. Everything else about the demo is in demo.spec.ts, demo-*.spec.ts and devices.spec.ts.
 */
import { expect } from '@playwright/test'
import type { BrowserProfile } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type DemoSite, startDemoSite } from '../support/demo-site.ts'
import { announceTestWallet, makeTestWallet, type TestWallet } from '../support/test-wallet.ts'
import { WebDriverPage } from '../support/webdriver/page.ts'
import { complaintsScript, keys, Visitor } from '../support/webdriver/visitor.ts'

let site: DemoSite
test.beforeAll(async () => {
  site = await startDemoSite(complaintsScript)
})
test.afterAll(async () => {
  await site.close()
})

/** @param path other than that of the demo, or its mode. */
const visit = async (profile: BrowserProfile, path = ''): Promise<Visitor> => {
  const page = await profile.newPage()
  if (!(page instanceof WebDriverPage)) throw new Error('not a page over WebDriver')
  await page.goto(new URL(path, site.url).href)
  return new Visitor(page)
}

const aliceTexts = '#alice-pane .text'
const bobTexts = '#bob-pane .text'

const untilLive = async (visitor: Visitor): Promise<void> => {
  await visitor.sees('#alice-pane .chip', 'Live')
  await visitor.sees('#bob-pane .chip', 'Live')
}

test('alice writes, bob answers, and a reload keeps everything', async ({ newProfile }) => {
  const visitor = await visit(await newProfile())
  await untilLive(visitor)
  await visitor.type('textarea', 'Message to Bob', `Is the boat back?${keys.enter}`)
  await visitor.seesExactly(bobTexts, ['Is the boat back?'])
  await visitor.sees('#bob-pane .message', 'Received')
  await visitor.sees('#alice-pane .message', 'Sent')
  await visitor.type('textarea', 'Message to Alice', 'Since noon.')
  await visitor.press('#bob-pane button', 'Send')
  await visitor.seesExactly(aliceTexts, ['Is the boat back?', 'Since noon.'])
  await visitor.sees('[role=log]', 'Bob to Alice: Since noon.')
  expect(await visitor.objections()).toEqual([])
  expect(await visitor.complaints()).toEqual([])

  await visitor.page.reload()
  await untilLive(visitor)
  await visitor.seesExactly(aliceTexts, ['Is the boat back?', 'Since noon.'])
  await visitor.seesExactly(bobTexts, ['Is the boat back?', 'Since noon.'])
  await visitor.type('textarea', 'Message to Bob', `Then at six.${keys.enter}`)
  await visitor.sees(bobTexts, 'Then at six.')
  expect(await visitor.complaints()).toEqual([])
})

test('everything can be reached with the keyboard, and is seen to be', async ({ newProfile }) => {
  const visitor = await visit(await newProfile())
  await untilLive(visitor)
  const order: string[] = []
  for (let step = 0; step < 15; step += 1) {
    await visitor.key(keys.tab)
    order.push(await visitor.page.evaluate(focusedName))
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
  await visitor.key(`by keys alone${keys.enter}`)
  await visitor.seesExactly(aliceTexts, ['by keys alone'])
})

/** In the page: what a screen reader says of the element in focus, and whether its outline is missing. */
const focusedName = (): string => {
  const { activeElement } = document
  if (!(activeElement instanceof HTMLElement)) return ''
  const around = activeElement.closest('.field')
  const isOutlined = [activeElement, ...(around ? [around] : [])].some((element) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(element)
    return outlineStyle !== 'none' && outlineWidth !== '0px'
  })
  const label = document.querySelector(`label[for="${activeElement.id}"]`)
  const name =
    activeElement.getAttribute('aria-label') ?? label?.textContent ?? activeElement.textContent
  return `${name}${isOutlined ? '' : ' (unseen)'}`
}

test('a request is accepted, its writer blocked, and what is deleted stays deleted', async ({
  newProfile,
}) => {
  const visitor = await visit(await newProfile())
  const bar = '#bob-pane .consent-bar'
  await untilLive(visitor)
  await visitor.type('textarea', 'Message to Bob', `one${keys.enter}two${keys.enter}`)
  await visitor.sees(bar, 'You have not accepted Alice yet.')
  await visitor.seesExactly(bobTexts, ['one', 'two'])
  expect(await visitor.objections()).toEqual([])
  await visitor.press(`${bar} button`, 'Accept')
  await visitor.seesExactly(bar, [])

  await visitor.press('#bob-pane .message-menu')
  expect(await visitor.objections()).toEqual([])
  await visitor.press('[role=menuitem]', 'Delete message…')
  await visitor.press('dialog button', 'Delete message')
  await visitor.seesExactly(bobTexts, ['two'])
  await visitor.press('#bob-pane button', 'Options for Alice')
  await visitor.press('[role=menuitem]', 'Block Alice…')
  await visitor.press('dialog button', 'Block')
  await visitor.sees(bar, 'You blocked Alice.')
  expect(await visitor.objections()).toEqual([])
  await visitor.press(`${bar} button`, 'Unblock')
  await visitor.seesExactly(bar, [])

  await visitor.page.reload()
  await untilLive(visitor)
  await visitor.seesExactly(bobTexts, ['two'])
  await visitor.press('#bob-pane button', 'Options for Alice')
  await visitor.press('[role=menuitem]', 'Delete conversation…')
  await visitor.press('dialog button', 'Delete conversation')
  await visitor.seesExactly(bobTexts, [])
  await visitor.page.reload()
  await untilLive(visitor)
  await visitor.seesExactly(aliceTexts, ['one', 'two'])
  await visitor.seesExactly(bobTexts, [])
  await visitor.seesExactly(bar, [])
  expect(await visitor.complaints()).toEqual([])
})

test('a second device is noticed, listed and removed', async ({ newProfile }) => {
  const one = await visit(await newProfile())
  await untilLive(one)
  const notes = await one.page.evaluate(() => ({ ...localStorage }))
  // The same throw-away wallets in another browser: their notes go along, their databases do not. They
  // are put there by a file of the site that is no page, before the demo makes wallets of its own.
  const two = await visit(await newProfile(), '/mark.svg')
  await two.page.evaluate((given) => {
    for (const [name, note] of Object.entries(given)) localStorage.setItem(name, String(note))
  }, notes)
  await two.page.goto(site.url)
  await untilLive(two)
  await one.sees('#alice-pane .notice', 'A new device was added to your account')
  await one.type('textarea', 'Message to Bob', `for all my devices${keys.enter}`)
  await two.seesExactly(aliceTexts, ['for all my devices'])

  await one.press('button', 'Devices of Alice')
  const mine = '[aria-label="Devices of Alice"] .device-state'
  await one.seesExactly(mine, ['Active', 'Active'])
  await one.seesExactly('.device .tag', ['This device'])
  expect(await one.objections()).toEqual([])
  await one.press('[aria-label="Devices of Alice"] button[aria-label^="Remove "]')
  await one.press('dialog button', 'Cancel')
  await one.seesExactly(mine, ['Active', 'Active'])
  await one.press('[aria-label="Devices of Alice"] button[aria-label^="Remove "]')
  await one.press('dialog button', 'Remove device')
  await one.seesExactly(mine, ['Active', 'Removed'])
  await one.key(keys.escape)
  await one.seesExactly('dialog', [])
  await one.sees('#bob-pane', 'A device of Alice was removed')

  await two.sees('#alice-pane .chip', 'Removed')
  await two.seesExactly(aliceTexts, ['for all my devices'])
  await two.press('#alice-pane button', 'Start over with new keys')
  await two.sees('#alice-pane .chip', 'Live')
  await two.type('textarea', 'Message to Bob', `here again${keys.enter}`)
  await one.seesExactly(aliceTexts, ['for all my devices', 'here again'])
  expect(await one.complaints()).toEqual([])
  expect(await two.complaints()).toEqual([])
})

/** Someone with a wallet of their own, which announces itself once the page has loaded. */
const openWithWallet = async (
  profile: BrowserProfile,
): Promise<{ visitor: Visitor; wallet: TestWallet; announce: () => Promise<void> }> => {
  const { wallet, sign } = makeTestWallet()
  await profile.expose('askTestWallet', sign)
  const visitor = await visit(profile, '#wallet')
  const announce = () => visitor.page.evaluate(announceTestWallet, wallet.address)
  return { visitor, wallet, announce }
}

test('two wallets in two browsers find each other, and are asked once each', async ({
  newProfile,
}) => {
  const one = await openWithWallet(await newProfile())
  const other = await openWithWallet(await newProfile())
  await one.visitor.sees('h2', 'No wallet found')
  for (const { visitor, announce } of [one, other]) {
    await announce()
    await visitor.press('button', 'Harbour Wallet')
    await visitor.sees('.chip', 'Live')
  }
  await one.visitor.type('input', 'Write to an address', `${other.wallet.address}${keys.enter}`)
  await one.visitor.type('.chat textarea', undefined, `Hello from WebKit${keys.enter}`)
  await one.visitor.sees('.chat .message', 'Sent')
  await other.visitor.sees('.request-list', 'Hello from WebKit')
  await other.visitor.press('.request-list button')
  await other.visitor.type('.chat textarea', undefined, `Hello back${keys.enter}`)
  const both = ['Hello from WebKit', 'Hello back']
  await one.visitor.seesExactly('.chat .text', both)
  await other.visitor.seesExactly('.chat .text', both)
  expect(await one.visitor.objections()).toEqual([])
  expect(await one.visitor.complaints()).toEqual([])

  await one.visitor.page.reload()
  await one.announce()
  await one.visitor.press('.conversations button')
  await one.visitor.seesExactly('.chat .text', both)
  expect(one.wallet.asked).toHaveLength(1)
  expect(other.wallet.asked).toHaveLength(1)
})
