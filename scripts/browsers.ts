/**
 * Finds the browsers that the tests run in, and installs missing ones: Debian's packages if this
 * user may install them, otherwise Playwright's own builds. WebKit is WebKitGTK with its driver, on
 * an Xvfb screen, without Playwright.
 */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, firefox, type LaunchOptions } from '@playwright/test'
import { installDebianPackages, isRoot } from './debian-packages.ts'
import { run } from './process.ts'

/** Those that Playwright drives. */
type PlaywrightName = 'chromium' | 'firefox'

export type BrowserName = PlaywrightName | 'webkit'

const packages = {
  chromium: ['chromium'],
  firefox: ['firefox-esr'],
  webkit: ['webkit2gtk-driver', 'xvfb'],
} as const
const builds = { chromium, firefox } as const

const debianPath = (name: PlaywrightName): string => `/usr/bin/${packages[name][0]}`

const isOnPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))

/** Chromium's sandbox refuses root; the other switches stop background requests during a test. */
const chromiumArgs = [
  ...(isRoot ? ['--no-sandbox'] : []),
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
]

const isInstalled = (name: BrowserName): boolean =>
  name === 'webkit'
    ? isOnPath('WebKitWebDriver') && isOnPath('Xvfb')
    : existsSync(debianPath(name)) || existsSync(builds[name].executablePath())

/** How Playwright starts this browser here. Debian's Firefox is a stock one, driven over BiDi. */
export const describeLaunch = (
  name: PlaywrightName,
): { channel?: string; launchOptions: LaunchOptions } => {
  const args = name === 'chromium' ? chromiumArgs : []
  if (!existsSync(debianPath(name))) return { launchOptions: { args } }
  const launchOptions = { args, executablePath: debianPath(name) }
  return name === 'firefox' ? { channel: 'moz-firefox', launchOptions } : { launchOptions }
}

/** Installs the missing ones; returns one sentence for each that is still missing. */
export const ensureBrowsers = async (
  names: readonly BrowserName[],
): Promise<ReadonlyMap<BrowserName, string>> => {
  const missing = names.filter((name) => !isInstalled(name))
  if (missing.length > 0) {
    console.log(`installing ${missing.join(' and ')}`)
    if (!(await installDebianPackages(missing.flatMap((name) => packages[name])))) {
      const built = missing.filter((name) => name !== 'webkit')
      if (built.length > 0) await run('playwright', ['install', ...built])
    }
  }
  const still = missing.filter((name) => !isInstalled(name))
  return new Map(still.map((name) => [name, saysMissing(name)]))
}

const saysMissing = (name: BrowserName): string => {
  const wanted = packages[name]
  const these = wanted.length === 1 ? 'that package' : 'those packages'
  return `The tests in ${name} need ${wanted.join(' and ')}: install ${these} and run this again.`
}
