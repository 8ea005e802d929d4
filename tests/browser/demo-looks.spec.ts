/** How the demo looks in light and dark, and on a phone. */
import { type Browser, test as base, expect } from '@playwright/test'
import {
  messages,
  objections,
  openPeople,
  pane,
  serveDemo,
  widerThanTheScreen,
  write,
} from '../support/demo-visit.ts'

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

const site = serveDemo()

for (const scheme of ['light', 'dark'] as const) {
  test(`on a phone in ${scheme} one person is in view, and nothing is cut off`, async ({
    browserIn,
  }) => {
    const page = await openPeople(await browserIn(scheme), site, {
      viewport: phone,
      colorScheme: scheme,
    })
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
    const page = await openPeople(await browserIn(scheme), site, { colorScheme: scheme })
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
