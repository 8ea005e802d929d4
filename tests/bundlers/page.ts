/** The browser's side of `conversation.js`: wallets that live outside the page, and its verdict. */
import { expect, type Page } from '@playwright/test'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

/** What `conversation.js` ends with when both messages arrived. */
export const goodVerdict = 'answer: gm, and good night'

/** Gives the page its wallets; returns what it prints from then on. */
export const preparePage = async (page: Page): Promise<string[]> => {
  const accounts = new Map<string, ReturnType<typeof privateKeyToAccount>>()
  const accountOf = (name: string) => {
    const account = accounts.get(name) ?? privateKeyToAccount(generatePrivateKey())
    accounts.set(name, account)
    return account
  }
  await page.exposeFunction('walletAddress', (name: string) => accountOf(name).address)
  await page.exposeFunction('walletSign', (name: string, message: string) =>
    accountOf(name).signMessage({ message }),
  )
  const seen: string[] = []
  page.on('console', (message) => seen.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error) => seen.push(`error: ${error.message}`))
  return seen
}

/** The title once the page has written how it went. */
export const readVerdict = async (page: Page, seen: readonly string[]): Promise<string> => {
  await expect
    .poll(() => page.title(), { message: seen.join('\n'), timeout: 60_000 })
    .toMatch(/^(?:answer|error): /)
  return page.title()
}
