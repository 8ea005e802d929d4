/**
 * The oldest browsers that Padlock supports, as far as a current one can imitate them: everything
 * that any of them lacks is removed, on the page and in the worker, before the SDK loads.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@playwright/test'

import { root } from '../../scripts/files.ts'
import { anAccount } from '../support/accounts.ts'
import type { BrowserEngine } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { serveTestPage } from '../support/static-server.ts'
import newerApis from './newer-apis.json' with { type: 'json' }

let node: NodeProcess
test.beforeAll(async () => {
  node = await startNodeProcess()
})
test.afterAll(() => node.close())

/**
 * A script that takes names such as `Promise.withResolvers` away, from constructor and prototype.
 * Without `delete`, which throws in a module where something cannot be deleted.
 */
const takeAway = (names: readonly string[]): string => `
for (const name of ${JSON.stringify(names)}) {
  const [owner, member] = name.split('.')
  const found = owner === 'TypedArray' ? Object.getPrototypeOf(Uint8Array) : globalThis[owner]
  if (member === undefined) Reflect.deleteProperty(globalThis, owner)
  else if (found !== undefined && found !== null) {
    Reflect.deleteProperty(found, member)
    if (found.prototype) Reflect.deleteProperty(found.prototype, member)
  }
}
`

const worker = readFileSync(join(root, 'dist/worker.js'), 'utf8')

const open = async (engine: BrowserEngine, names: readonly string[]) => {
  const prelude = takeAway(names)
  const server = await serveTestPage({}, { '/dist/worker.js': `${prelude}${worker}` }, { prelude })
  const account = anAccount()
  let asked = 0
  const profile = await engine.newProfile()
  await profile.expose('walletSign', (_address: string, message: string) => {
    asked += 1
    return account.signMessage({ message })
  })
  await profile.expose('streamed', () => undefined)
  const page = await profile.newPage()
  await page.goto(server.url)
  await page.waitForFunction(() => window.page !== undefined)
  const options = { address: account.address, node: node.url }
  const error = await page.evaluate((given) => window.page.openError(given), options)
  const close = async () => {
    await profile.close()
    await server.close()
  }
  return { page, error, asked: () => asked, address: account.address, close }
}

test('without anything newer, messages are sent and read', async ({ engine }) => {
  const { page, error, address, close } = await open(engine, newerApis)
  try {
    expect(await page.evaluate(() => 'withResolvers' in Promise || 'any' in AbortSignal)).toBe(
      false,
    )
    expect(error).toBeUndefined()
    // The worker is the one that lacks them too, and not the copy inside the SDK.
    expect(await page.evaluate(() => window.page.said())).toEqual([])
    await page.evaluate((self) => window.page.send(self, 'an old one', 'sent'), address)
    const history = await page.evaluate((self) => window.page.history(self), address)
    expect(history.map(({ content }) => content)).toEqual(['an old one'])
    await page.evaluate(() => window.page.close())
  } finally {
    await close()
  }
})

for (const [names, missing] of [
  [['DecompressionStream'], 'DecompressionStream'],
  [['Object.hasOwn'], 'Object.hasOwn'],
  [['Navigator.locks'], 'Web Locks'],
  [['Worker'], 'Worker'],
] as const) {
  test(`without ${missing} a client is refused by that name, before the wallet is asked`, async ({
    engine,
  }) => {
    const { error, asked, close } = await open(engine, names)
    try {
      expect(error).toMatchObject({ code: 'unsupported_platform', details: { missing } })
      expect(error?.message).toContain(missing)
      expect(asked()).toBe(0)
    } finally {
      await close()
    }
  })
}
