/** The browsers that Playwright drives, as a browser-page.ts. */
import type { Browser, BrowserContext } from '@playwright/test'
import type { BrowserEngine, BrowserProfile } from './browser-page.ts'

const asProfile = (context: BrowserContext): BrowserProfile => ({
  expose: async (name, answer) => {
    await context.exposeFunction(name, answer)
  },
  newPage: () => context.newPage(),
  close: () => context.close(),
})

export const playwrightEngine = (browser: Browser): BrowserEngine => ({
  newProfile: async () => asProfile(await browser.newContext()),
  close: () => browser.close(),
})
