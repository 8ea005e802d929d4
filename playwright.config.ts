/**
 * Tests that need a browser: the SDK and the demo in Chromium, Firefox and WebKit, and the packed
 * packages. tests/support/webdriver drives WebKit; Playwright only runs its tests. Tests start the
 * servers that they use, on free ports, so files share nothing.
 */
import { defineConfig } from '@playwright/test'
import { describeLaunch } from './scripts/browsers.ts'

/** Tests that use Playwright's own pages, and their counterpart in WebKit. */
const byPlaywright = ['**/demo.spec.ts', '**/demo-*.spec.ts', '**/devices.spec.ts']
const byWebDriver = ['**/webkit-*.spec.ts']

export default defineConfig({
  testMatch: '**/*.{test,spec}.ts',
  // Two cores: more browsers at once only time out. The tests of one file run in order.
  workers: 2,
  fullyParallel: false,
  // A test that passes only on a retry hides a fault, so it fails at once.
  retries: 0,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  outputDir: 'test-results',
  reporter: 'list',
  use: { trace: 'off', screenshot: 'off', video: 'off' },
  projects: [
    {
      name: 'chromium',
      testDir: 'tests/browser',
      testIgnore: byWebDriver,
      use: { browserName: 'chromium', ...describeLaunch('chromium') },
    },
    {
      name: 'firefox',
      testDir: 'tests/browser',
      testIgnore: byWebDriver,
      use: { browserName: 'firefox', ...describeLaunch('firefox') },
    },
    {
      name: 'webkit',
      testDir: 'tests/browser',
      testIgnore: byPlaywright,
      use: { browserName: 'webkit' },
    },
    {
      name: 'bundlers',
      testDir: 'tests/bundlers',
      // An install, a build and a browser; on a fresh machine each install is a download.
      timeout: 300_000,
      fullyParallel: true,
      use: { browserName: 'chromium', ...describeLaunch('chromium') },
    },
    {
      name: 'packaging',
      testDir: 'tests/packaging',
      timeout: 300_000,
      use: { browserName: 'chromium', ...describeLaunch('chromium') },
    },
  ],
})
