/** Playwright's `test` with a browser of the project, whoever drives it; tests with it run in all three. */
import { test as base } from '@playwright/test'
import type { BrowserEngine, BrowserPage, BrowserProfile } from './browser-page.ts'
import { playwrightEngine } from './playwright-engine.ts'
import { startWebKit } from './webdriver/webkit.ts'

export interface EngineFixtures {
  /** Profiles that end with the test. */
  readonly newProfile: () => Promise<BrowserProfile>
  /** A page of a profile that nothing was stored in yet. */
  readonly freshPage: BrowserPage
}

export const test = base.extend<EngineFixtures, { readonly engine: BrowserEngine }>({
  engine: [
    async ({ browserName, channel, headless, launchOptions, playwright }, use) => {
      const options = { ...launchOptions, headless, ...(channel ? { channel } : {}) }
      const engine =
        browserName === 'webkit'
          ? await startWebKit()
          : playwrightEngine(await playwright[browserName].launch(options))
      await use(engine)
      await engine.close()
    },
    { scope: 'worker' },
  ],
  newProfile: async ({ engine }, use) => {
    const profiles: BrowserProfile[] = []
    await use(async () => {
      const profile = await engine.newProfile()
      profiles.push(profile)
      return profile
    })
    for (const profile of profiles) await profile.close()
  },
  freshPage: async ({ newProfile }, use) => {
    await use(await (await newProfile()).newPage())
  },
})
