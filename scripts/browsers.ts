/**
 * Finds the browsers that the tests run in, and installs them where they are missing:
 * Debian's packages where this user may install some, Playwright's own builds elsewhere.
 */
import { existsSync } from 'node:fs'
import { chromium, firefox, type LaunchOptions } from '@playwright/test'
import { installDebianPackages, isRoot } from './debian-packages.ts'
import { run } from './process.ts'

export type BrowserName = 'chromium' | 'firefox'

const packages = { chromium: 'chromium', firefox: 'firefox-esr' } as const
const builds = { chromium, firefox } as const

const debianPath = (name: BrowserName): string => `/usr/bin/${packages[name]}`

/** Chromium's sandbox refuses root; the other switches keep it from calling home during a test. */
const chromiumArgs = [
  ...(isRoot ? ['--no-sandbox'] : []),
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
]

const isInstalled = (name: BrowserName): boolean =>
  existsSync(debianPath(name)) || existsSync(builds[name].executablePath())

/** How Playwright starts this browser here. Debian's Firefox is a stock one, driven over BiDi. */
export const describeLaunch = (
  name: BrowserName,
): { channel?: string; launchOptions: LaunchOptions } => {
  const args = name === 'chromium' ? chromiumArgs : []
  if (!existsSync(debianPath(name))) return { launchOptions: { args } }
  const launchOptions = { args, executablePath: debianPath(name) }
  return name === 'firefox' ? { channel: 'moz-firefox', launchOptions } : { launchOptions }
}

/** Installs what is missing; returns one sentence when that fails, nothing when both are there. */
export const ensureBrowsers = async (): Promise<string | undefined> => {
  const all: readonly BrowserName[] = ['chromium', 'firefox']
  const missing = all.filter((name) => !isInstalled(name))
  if (missing.length === 0) return undefined
  console.log(`installing ${missing.join(' and ')}`)
  if (await installDebianPackages(missing.map((name) => packages[name]))) return undefined
  await run('playwright', ['install', ...missing])
  const still = missing.filter((name) => !isInstalled(name)).map((name) => packages[name])
  return still.length === 0
    ? undefined
    : `The browser tests need ${still.join(' and ')}: install ${still.length === 1 ? 'that package' : 'those packages'} and run this again.`
}
