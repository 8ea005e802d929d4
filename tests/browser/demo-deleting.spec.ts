/** Deleting messages and conversations in the demo, by mouse and keyboard. */
import { expect, type Locator, test } from '@playwright/test'
import {
  decision,
  messages,
  objections,
  openPeople,
  pane,
  said,
  serveDemo,
  write,
} from '../support/demo-visit.ts'

const site = serveDemo()

/** The message's own menu, opened; the pointer is where it shows the button. */
const openMenuOf = async (within: Locator, text: string): Promise<void> => {
  const message = messages(within).filter({ has: within.page().getByText(text, { exact: true }) })
  await message.hover()
  await message.getByRole('button', { name: /^Options for the message/ }).click()
}

test('a deleted message, one’s own or theirs, is gone from this side only, and stays gone', async ({
  browser,
}) => {
  const page = await openPeople(browser, site)
  for (const text of ['one', 'two', 'three']) await write(page, 'Message to Bob', text)
  const alice = pane(page, 'alice')
  const bob = pane(page, 'bob')
  await expect(bob.locator('.text')).toHaveText(['one', 'two', 'three'])
  await expect(alice.locator('.message').getByText('Sent')).toHaveCount(3)

  await openMenuOf(alice, 'two')
  expect(await objections(page)).toEqual([])
  await page.getByRole('menuitem', { name: 'Delete message…' }).click()
  const question = page.getByRole('dialog', { name: 'Delete this message?' })
  await expect(question).toContainText('Bob and your other devices keep it.')
  await question.getByRole('button', { name: 'Cancel' }).click()
  await expect(alice.locator('.text')).toHaveText(['one', 'two', 'three'])
  await openMenuOf(alice, 'two')
  await page.getByRole('menuitem', { name: 'Delete message…' }).click()
  await question.getByRole('button', { name: 'Delete message' }).click()
  await expect(alice.locator('.text')).toHaveText(['one', 'three'])
  await expect(alice.getByRole('region', { name: /^Messages between/ })).toBeFocused()

  // Theirs, by the keyboard: from the newest message's menu to the one above.
  await bob
    .getByRole('button', { name: /^Options for the message/ })
    .last()
    .focus()
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('menuitem', { name: 'Delete message…' })).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('menu')).toHaveCount(0)
  await page.keyboard.press('Enter')
  await page.keyboard.press('Enter')
  await question.getByRole('button', { name: 'Delete message' }).press('Enter')
  await expect(bob.locator('.text')).toHaveText(['one', 'three'])

  await page.reload()
  await expect(alice.locator('.text')).toHaveText(['one', 'three'])
  await expect(bob.locator('.text')).toHaveText(['one', 'three'])
})

test('a menu stays with its message while others arrive', async ({ browser }) => {
  const page = await openPeople(browser, site)
  const bob = pane(page, 'bob')
  await write(page, 'Message to Bob', 'message 0')
  await bob.getByRole('button', { name: 'Accept' }).click()
  for (let at = 1; at < 12; at++) await write(page, 'Message to Bob', `message ${at}`)
  await expect(said(bob, 'message 11')).toBeInViewport()
  await openMenuOf(bob, 'message 11')
  const opener = bob.locator('.message-menu[aria-expanded="true"]')
  const topOf = async (locator: Locator) => (await locator.boundingBox())?.y ?? Number.NaN
  const before = await topOf(opener)
  await write(page, 'Message to Bob', 'message 12')
  await expect(said(bob, 'message 12')).toBeInViewport()
  await expect.poll(() => topOf(opener)).toBeLessThan(before)
  // Right below its button, or right above it.
  const gap = async () => {
    const [menu, at] = [await page.getByRole('menu').boundingBox(), await opener.boundingBox()]
    if (!menu || !at) return Number.NaN
    return Math.min(Math.abs(menu.y - at.y - at.height), Math.abs(at.y - menu.y - menu.height))
  }
  await expect.poll(gap).toBeLessThan(1)
})

test('a message that waits is deleted before it goes out', async ({ browser }) => {
  const page = await openPeople(browser, site)
  const alice = pane(page, 'alice')
  await site.node.kill()
  try {
    await expect(alice.getByText('Offline')).toBeVisible()
    await write(page, 'Message to Bob', 'better not')
    await write(page, 'Message to Bob', 'hello')
    await openMenuOf(alice, 'better not')
    await page.getByRole('menuitem', { name: 'Delete message…' }).click()
    const question = page.getByRole('dialog', { name: 'Delete this message?' })
    await expect(question).toContainText('It has not been sent, and will not be.')
    await question.getByRole('button', { name: 'Delete message' }).click()
    await expect(alice.locator('.text')).toHaveText(['hello'])
  } finally {
    await site.node.start()
  }
  await expect(pane(page, 'bob').locator('.text')).toHaveText(['hello'], { timeout: 60_000 })
})

test('a deleted conversation is empty after a reload too, and goes on with the next message', async ({
  browser,
}) => {
  const page = await openPeople(browser, site)
  const bob = pane(page, 'bob')
  await write(page, 'Message to Bob', 'one')
  await bob.getByRole('button', { name: 'Accept' }).click()
  await write(page, 'Message to Alice', 'two')
  await expect(pane(page, 'alice').locator('.text')).toHaveText(['one', 'two'])
  await bob.getByRole('button', { name: 'Options for Alice' }).click()
  await page.getByRole('menuitem', { name: 'Delete conversation…' }).click()
  const question = page.getByRole('dialog', { name: 'Delete the conversation with Alice?' })
  await expect(question).toContainText('Alice and your other devices keep theirs.')
  await question.getByRole('button', { name: 'Delete conversation' }).click()
  await expect(bob.getByText('No messages yet.')).toBeVisible()
  await page.reload()
  await expect(pane(page, 'alice').locator('.text')).toHaveText(['one', 'two'])
  await expect(bob.getByText('No messages yet.')).toBeVisible()
  await write(page, 'Message to Bob', 'three')
  await expect(bob.locator('.text')).toHaveText(['three'])
  await expect(decision(bob), 'whom he accepted stays accepted').toBeHidden()
})
