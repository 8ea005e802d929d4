/** The demo's requests, and blocking, through its buttons. */
import { expect, type Locator, test } from '@playwright/test'
import {
  decision,
  objections,
  openPeople,
  openWithWallet,
  pane,
  serveDemo,
  startChat,
  type WalletVisitor,
  widerThanTheScreen,
  write,
} from '../support/demo-visit.ts'

const phone = { width: 360, height: 640 }

const site = serveDemo()

const accepted = ({ page }: WalletVisitor): Locator => page.locator('.conversations li')
const requests = ({ page }: WalletVisitor): Locator => page.locator('.request-list li')

test('side by side, the first message is a request: the other one answers, and it is none any more', async ({
  browser,
}) => {
  const page = await openPeople(browser, site)
  await write(page, 'Message to Bob', 'Is the boat back?')
  const bob = pane(page, 'bob')
  await expect(decision(bob)).toContainText('You have not accepted Alice yet.')
  await expect(decision(bob)).toContainText('until you accept or answer')
  await expect(decision(pane(page, 'alice')), 'whom she wrote to, she accepted').toBeHidden()
  expect(await objections(page)).toEqual([])
  await write(page, 'Message to Alice', 'Since noon.')
  await expect(decision(bob)).toBeHidden()
  await expect(pane(page, 'alice').locator('.text')).toHaveText([
    'Is the boat back?',
    'Since noon.',
  ])
  await expect(decision(pane(page, 'alice'))).toBeHidden()
  await page.reload()
  await expect(bob.locator('.text')).toHaveCount(2)
  await expect(decision(bob)).toBeHidden()
})

test('requests are listed apart, with their number; each can be accepted, blocked or deleted', async ({
  browser,
}) => {
  const me = await openWithWallet(browser, site)
  const strangers = [
    await openWithWallet(browser, site),
    await openWithWallet(browser, site),
  ] as const
  const [friend, other] = strangers
  for (const [at, { page }] of strangers.entries()) {
    await startChat(page, me.address)
    await write(page, /^Message to/, `hello from ${at === 0 ? 'a friend' : 'somebody'}`)
  }
  await expect(requests(me)).toHaveCount(2)
  await expect(me.page.getByRole('heading', { name: 'Requests 2' })).toBeVisible()
  await expect(accepted(me)).toHaveCount(0)
  await expect(me.page.getByText(/No conversations yet/)).toBeVisible()
  // A conversation that one opens oneself is none.
  await startChat(me.page, '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045')
  await expect(accepted(me)).toHaveCount(1)
  await expect(decision(me.page)).toBeHidden()

  // Firefox moves the focus in the window in front only.
  await me.page.bringToFront()
  await me.page.getByRole('button', { name: /hello from a friend/ }).click()
  await expect(me.page.locator('.chat .text')).toHaveText(['hello from a friend'])
  expect(await objections(me.page)).toEqual([])
  await decision(me.page).getByRole('button', { name: 'Accept' }).click()
  await expect(decision(me.page)).toBeHidden()
  await expect(me.page.getByRole('textbox', { name: /^Message to/ })).toBeFocused()
  await expect(accepted(me).getByText('hello from a friend')).toBeVisible()
  await expect(me.page.getByRole('heading', { name: 'Requests 1' })).toBeVisible()

  await me.page.getByRole('button', { name: /hello from somebody/ }).click()
  await decision(me.page).getByRole('button', { name: 'Block' }).click()
  const question = me.page.getByRole('dialog', { name: /^Block 0x/ })
  await expect(question).toContainText('they are not told')
  await question.getByRole('button', { name: 'Cancel' }).click()
  await expect(requests(me)).toHaveCount(1)
  await decision(me.page).getByRole('button', { name: 'Block' }).click()
  await question.getByRole('button', { name: 'Block' }).click()
  await expect(decision(me.page)).toContainText('You blocked')
  await expect(me.page.getByRole('textbox', { name: /^Message to/ })).toBeHidden()
  await expect(me.page.getByRole('heading', { name: /^Requests/ })).toBeHidden()
  await expect(accepted(me)).toHaveCount(2)
  expect(await objections(me.page)).toEqual([])

  // What the blocked one writes is not kept, also not after a reload; what others write is.
  await write(other.page, /^Message to/, 'are you there?')
  await expect(other.page.locator('.message').getByText('Sent')).toHaveCount(2)
  await write(friend.page, /^Message to/, 'the boat is back')
  await expect(accepted(me).getByText('the boat is back')).toBeVisible()
  await me.page.reload()
  await expect(accepted(me).getByText('the boat is back')).toBeVisible()
  await expect(requests(me)).toHaveCount(0)

  await me.page.getByRole('button', { name: 'Blocked' }).click()
  const blocked = me.page.getByRole('dialog', { name: 'Blocked accounts' })
  await expect(blocked.getByRole('listitem')).toHaveCount(1)
  expect(await objections(me.page)).toEqual([])
  await blocked.getByRole('button', { name: /^Unblock 0x/ }).click()
  await expect(blocked.getByText('can write to you again')).toBeVisible()
  await expect(blocked.getByRole('listitem')).toHaveCount(0)
  await blocked.getByRole('button', { name: 'Close' }).click()
  await me.page.getByRole('button', { name: /hello from somebody/ }).click()
  await write(me.page, /^Message to/, 'I am here')
  await expect(other.page.locator('.chat').getByText('I am here')).toBeVisible()
  await write(other.page, /^Message to/, 'once more')
  await expect(me.page.locator('.chat .text')).toHaveText([
    'hello from somebody',
    'I am here',
    'once more',
  ])
})

test('a request that is deleted leaves its list and its messages, and is made again by the next one', async ({
  browser,
}) => {
  const me = await openWithWallet(browser, site, { viewport: phone })
  const stranger = await openWithWallet(browser, site)
  await startChat(stranger.page, me.address)
  await write(stranger.page, /^Message to/, 'do you want to buy a boat?')
  await me.page.getByRole('button', { name: /buy a boat/ }).click()
  expect(await widerThanTheScreen(me.page)).toBe(0)
  expect(await objections(me.page)).toEqual([])
  await decision(me.page).getByRole('button', { name: 'Delete' }).click()
  const question = me.page.getByRole('dialog', { name: /^Delete the request of 0x/ })
  await expect(question).toContainText('from this browser only')
  expect(await objections(me.page)).toEqual([])
  await question.getByRole('button', { name: 'Delete request' }).click()
  await expect(me.page.getByText(/No conversations yet/)).toBeVisible()
  await expect(requests(me)).toHaveCount(0)
  await me.page.reload()
  await expect(me.page.getByText(/No conversations yet/)).toBeVisible()

  await write(stranger.page, /^Message to/, 'a small one?')
  await me.page.getByRole('button', { name: /a small one/ }).click()
  await expect(me.page.locator('.chat .text')).toHaveText(['a small one?'])
  await expect(decision(me.page)).toBeVisible()
})

test('a blocked account without a conversation is unblocked by its address', async ({
  browser,
}) => {
  const me = await openWithWallet(browser, site)
  const stranger = await openWithWallet(browser, site)
  await startChat(me.page, stranger.address)
  await me.page.getByRole('button', { name: 'Options for 0x' }).click()
  await me.page.getByRole('menuitem', { name: /^Block 0x/ }).click()
  await me.page.getByRole('dialog').getByRole('button', { name: 'Block' }).click()
  await expect(decision(me.page)).toContainText('You blocked')
  await me.page.getByRole('button', { name: 'Options for 0x' }).click()
  await me.page.getByRole('menuitem', { name: 'Delete conversation…' }).click()
  await me.page.getByRole('dialog').getByRole('button', { name: 'Delete conversation' }).click()
  await expect(me.page.getByText('Choose a conversation, or write to an address.')).toBeVisible()

  await startChat(me.page, stranger.address)
  await decision(me.page).getByRole('button', { name: 'Unblock' }).click()
  await expect(decision(me.page)).toBeHidden()
  await write(me.page, /^Message to/, 'welcome back')
  await startChat(stranger.page, me.address)
  await expect(stranger.page.locator('.chat .text')).toHaveText(['welcome back'])
})

test('what a request has no room for is counted, with the way out, until it is accepted', async ({
  browser,
}) => {
  const page = await openPeople(browser, site)
  const bob = pane(page, 'bob')
  const all = Array.from({ length: 53 }, (_, at) => `message ${at}`)
  for (const text of all) await write(page, 'Message to Bob', text)
  await expect(decision(bob)).toContainText('3 more messages were left out; accept to ask for them')
  const warning = bob.getByText(/^Requests hold only so much/)
  await expect(warning).toContainText('Accept or delete requests to make room.')
  expect(await objections(page)).toEqual([])
  await decision(bob).getByRole('button', { name: 'Accept' }).click()
  await expect(decision(bob)).toBeHidden()
  await expect(warning).toBeHidden()
})
