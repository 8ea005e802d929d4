/** The browsers that Playwright drives, as a browser-page.ts. */
import type { Browser, BrowserContext, Page } from '@playwright/test'
import type { BrowserEngine, BrowserPage, BrowserProfile } from './browser-page.ts'

const asPage = (page: Page): BrowserPage => page

const asProfile = (context: BrowserContext): BrowserProfile => ({
  expose: async (name, answer) => {
    await context.exposeFunction(name, answer)
  },
  newPage: async () => asPage(await context.newPage()),
  close: () => context.close(),
})

export const playwrightEngine = (browser: Browser): BrowserEngine => ({
  newProfile: async () => asProfile(await browser.newContext()),
  close: () => browser.close(),
})
