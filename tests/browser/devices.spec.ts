/** The demo's devices: a second one is noticed, listed and removed, reads on, and comes back with new keys. */
import { fileURLToPath } from 'node:url'
import { type BrowserContext, expect, type Locator, type Page, test } from '@playwright/test'
import { build } from 'esbuild'
import { anAccount } from '../support/accounts.ts'
import { installWallet } from '../support/demo-site.ts'
import { objections, pane, serveDemo, widerThanTheScreen, write } from '../support/demo-visit.ts'

const phone = { width: 360, height: 640 }

const site = serveDemo()

const dialog = (page: Page): Locator => page.locator('dialog.devices-dialog')
const devices = (page: Page, heading: string): Locator =>
  dialog(page).getByRole('region', { name: heading }).getByRole('listitem')

const openPeople = async (context: BrowserContext): Promise<Page> => {
  const page = await context.newPage()
  await page.goto(site.url)
  await expect(pane(page, 'alice').getByText('Live')).toBeVisible()
  await expect(pane(page, 'bob').getByText('Live')).toBeVisible()
  return page
}

test('a second device is noticed, listed and removed; it reads on, and starts over with new keys', async ({
  browser,
}) => {
  const first = await browser.newContext()
  const one = await openPeople(first)
  await expect(one.locator('.notice'), 'first devices are no news').toHaveCount(0)
  // The same throw-away wallets in another browser: their notes go along, their databases do not.
  const second = await browser.newContext({ storageState: await first.storageState() })
  const two = await openPeople(second)
  const alice = pane(one, 'alice')
  const added = alice.locator('.notice', { hasText: 'A new device was added to your account' })
  await expect(added).toContainText('If that was not you, remove it.')
  await expect(alice.getByText(/^Bob has a new device/)).toBeVisible()

  await write(one, 'Message to Bob', 'for all my devices')
  const kept = pane(two, 'alice').locator('.text')
  await expect(kept).toHaveText(['for all my devices'])

  // Firefox presses buttons by key in the window in front only.
  await one.bringToFront()
  await added.getByRole('button', { name: 'Show devices' }).press('Enter')
  await expect(dialog(one).getByRole('button', { name: 'Close' })).toBeFocused()
  await expect(devices(one, 'Devices of Alice')).toHaveCount(2)
  await expect(devices(one, 'Devices of Bob')).toHaveCount(2)
  const mine = devices(one, 'Devices of Alice')
  await expect(mine.nth(0)).toContainText('This device')
  await expect(mine.nth(0)).toContainText('Active')
  await expect(mine.nth(0)).toContainText(`${new Date().getFullYear()}, `)
  // Own ones can be removed, this one and the other person's cannot.
  await expect(dialog(one).getByRole('button', { name: /^Remove/ })).toHaveCount(1)
  expect(await objections(one)).toEqual([])
  const keys = await one.evaluate(() =>
    Object.values(localStorage).filter((note) => /^0x[0-9a-f]{64}$/.test(note)),
  )
  expect(keys).toHaveLength(2)
  for (const key of keys) expect(await one.content()).not.toContain(key)
  await mine.nth(1).getByRole('button', { name: 'Remove' }).press('Enter')
  const question = one.getByRole('dialog', { name: /^Remove .+\?$/ })
  await expect(question).toContainText('cannot be undone')
  await expect(question).toContainText('Your wallet will ask for a signature')
  await question.getByRole('button', { name: 'Cancel' }).press('Enter')
  await expect(mine.nth(1)).toContainText('Active')
  await mine.nth(1).getByRole('button', { name: 'Remove' }).click()
  await question.getByRole('button', { name: 'Remove device' }).click()
  await expect(mine.nth(1)).toContainText('Removed')
  await expect(dialog(one).getByRole('status').getByText('was removed.')).toBeVisible()
  await expect(dialog(one).getByRole('button', { name: /^Remove/ })).toHaveCount(0)
  await expect(dialog(one).getByRole('button', { name: 'Close' })).toBeFocused()
  expect(await objections(one)).toEqual([])
  await one.keyboard.press('Escape')
  await expect(alice.getByText(/^A device was removed from your account/)).toBeVisible()
  await expect(added, 'what became of it takes its place').toHaveCount(0)
  await expect(pane(one, 'bob').getByText(/^A device of Alice was removed/)).toBeVisible()

  const removed = pane(two, 'alice')
  await expect(removed.locator('.chip')).toHaveText('Removed')
  await expect(removed.getByText(/This device was removed from the account/)).toBeVisible()
  await expect(kept).toHaveText(['for all my devices'])
  await expect(removed.getByRole('textbox')).toBeHidden()
  expect(await objections(two)).toEqual([])
  await write(one, 'Message to Bob', 'without the other one')
  await expect(pane(two, 'bob').locator('.text')).toHaveCount(2)
  await two.reload()
  await expect(removed.locator('.chip')).toHaveText('Removed')
  await expect(kept).toHaveText(['for all my devices'])

  await two.bringToFront()
  await removed.getByRole('button', { name: 'Start over with new keys' }).press('Enter')
  await expect(removed.locator('.chip')).toHaveText('Live')
  await expect(removed.locator('.chip')).toBeFocused()
  await expect(kept).toHaveText(['for all my devices'])
  await write(two, 'Message to Bob', 'here again')
  await expect(alice.locator('.text')).toHaveText([
    'for all my devices',
    'without the other one',
    'here again',
  ])
  await alice.getByRole('button', { name: 'Devices of Alice' }).click()
  await expect(devices(one, 'Devices of Alice')).toHaveCount(3)
  await expect(devices(one, 'Devices of Alice').getByText('Active')).toHaveCount(2)
})

test('a wallet signs once for a removal, may decline it, and a phone shows all of it', async ({
  browser,
}) => {
  const account = anAccount()
  const open = async (viewport?: typeof phone) => {
    const context = await browser.newContext(viewport ? { viewport } : {})
    const wallet = await installWallet(context, account)
    const page = await context.newPage()
    await page.goto(`${site.url}#wallet`)
    await page.getByRole('button', { name: 'Harbour Wallet' }).click()
    await expect(page.getByText('Live').first()).toBeVisible()
    return { page, wallet }
  }
  const { page, wallet } = await open(phone)
  const other = await open()
  await expect(page.getByText(/^A new device was added to your account/)).toBeVisible()
  expect(await widerThanTheScreen(page)).toBe(0)
  expect(await objections(page)).toEqual([])
  const dismiss = page.getByRole('button', { name: 'Dismiss' })
  await expect(dismiss, 'all of the notice is in view').toBeInViewport({ ratio: 1 })
  await dismiss.click()
  await expect(page.getByText(/^A new device was added/)).toHaveCount(0)

  await page.getByRole('button', { name: 'Your devices' }).click()
  const mine = devices(page, 'Your devices')
  await expect(mine).toHaveCount(2)
  expect(await widerThanTheScreen(page)).toBe(0)
  expect(await dialog(page).evaluate((box) => box.scrollWidth - box.clientWidth)).toBe(0)
  expect(await objections(page)).toEqual([])
  const remove = async (): Promise<void> => {
    await mine.nth(1).getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('button', { name: 'Remove device' }).click()
  }
  wallet.mood = 'declines'
  await remove()
  await expect(dialog(page).getByText(/You declined in your wallet/)).toBeVisible()
  await expect(mine.nth(1)).toContainText('Active')
  wallet.mood = 'signs'
  await remove()
  await expect(mine.nth(1)).toContainText('Removed')
  expect(wallet.asked, 'for this device, for the declined removal, for the removal').toHaveLength(3)

  await expect(other.page.locator('.side .chip')).toHaveText('Removed')
  await other.page.getByRole('button', { name: 'Start over with new keys' }).first().click()
  await expect(other.page.locator('.side .chip')).toHaveText('Live')
  expect(other.wallet.asked).toHaveLength(2)
  await expect(mine).toHaveCount(3)
})

test('notices of a cheating node and of a rollback say who reports it and what is lost', async ({
  page,
}) => {
  const bundle = await build({
    stdin: {
      contents: `export { makeDeviceNotices } from './device-notices.ts'
        export { sayDeviceState } from './device-words.ts'`,
      resolveDir: fileURLToPath(new URL('../../demo/src', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'notices',
  })
  await page.setContent('<main></main>')
  await page.addScriptTag({ content: bundle.outputFiles.map(({ text }) => text).join('') })
  await page.evaluate(`{
    let listener
    const session = {
      phase: { kind: 'open', client: { address: 'own', installations: async () => [1, 2] } },
      listen: (one) => { listener = one; return () => undefined },
    }
    const { root } = notices.makeDeviceNotices({
      session,
      nameOf: (address) => address === 'peer' ? 'Bob' : 'someone',
      openDevices: (address) => { document.title = address },
    })
    document.querySelector('main').append(root)
    window.tell = (event) => listener.onEvent(event)
    window.device = (address, id, state = 'valid') =>
      ({ id: id.repeat(43), address, isThis: false, createdAtMs: 0, state })
  }`)
  const said = page.locator('.notice')
  await page.evaluate(
    `tell({ kind: 'node-accused', code: 'node_withholding', account: 'own', claimant: device('peer', 'b') })`,
  )
  await expect(said).toContainText('A device of Bob (bbbbbb…bbbb) saw more at the node')
  await expect(said).toContainText('about the devices of your account')
  await expect(said).toContainText('Either the node is cheating, or that device is')
  await said.getByRole('button', { name: 'Show devices' }).click()
  await expect(page).toHaveTitle('own')
  await page.evaluate(
    `tell({ kind: 'node-accused', code: 'node_equivocating', account: 'peer', claimant: device('own', 'c') })`,
  )
  await expect(said.nth(1)).toContainText('Another device of yours (cccccc…cccc) was shown')
  await expect(said.nth(1)).toContainText('about the devices of Bob')
  await page.evaluate(`tell({ kind: 'restored', unopened: 3 })`)
  await expect(said.nth(2)).toContainText('an older copy of its data')
  await expect(said.nth(2)).toContainText('3 messages that arrived since then cannot be read')
  await expect(said.nth(2).getByRole('button')).toHaveText(['Dismiss'])
  // However many there are, the newest are in view.
  await page.evaluate(`for (const id of 'defgh') {
    tell({ kind: 'installation-added', installation: device('own', id) })
  }`)
  await expect(said).toHaveCount(4)
  await expect(said.last()).toContainText('hhhhhh…hhhh')
  const states = await page.evaluate(
    `['valid', 'unverified', 'revoked'].map((state) => notices.sayDeviceState({ state }))`,
  )
  expect(states).toEqual(['Active', 'Waiting for its chain', 'Removed'])
})
