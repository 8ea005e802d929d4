/**
 * The oldest browsers that Padlock runs in, as far as one of today can play them: everything that any
 * of them lacks is taken away, on the page and in the worker, before the SDK loads.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, type Page, test } from '@playwright/test'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { root } from '../../scripts/files.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { serveTestPage } from '../support/static-server.ts'
import newerApis from './newer-apis.json' with { type: 'json' }

let node: NodeProcess
test.beforeAll(async () => {
  node = await startNodeProcess()
})
test.afterAll(() => node.close())

/** A script that takes names such as `Promise.withResolvers` away, from constructor and prototype. */
const takeAway = (names: readonly string[]): string => `
for (const name of ${JSON.stringify(names)}) {
  const [owner, member] = name.split('.')
  const found = owner === 'TypedArray' ? Object.getPrototypeOf(Uint8Array) : globalThis[owner]
  if (member === undefined) delete globalThis[owner]
  else if (found !== undefined && found !== null) {
    delete found[member]
    if (found.prototype) delete found.prototype[member]
  }
}
`

const worker = readFileSync(join(root, 'dist/worker.js'), 'utf8')

const open = async (page: Page, names: readonly string[], extra: Record<string, string> = {}) => {
  const script = takeAway(names)
  const server = await serveTestPage({}, { '/dist/worker.js': `${script}${worker}`, ...extra })
  const account = privateKeyToAccount(generatePrivateKey())
  let asked = 0
  await page.exposeFunction('walletSign', (_address: string, message: string) => {
    asked += 1
    return account.signMessage({ message })
  })
  await page.exposeFunction('streamed', () => undefined)
  await page.addInitScript(script)
  await page.goto(server.url)
  await page.waitForFunction(() => window.page !== undefined)
  const options = { address: account.address, node: node.url }
  const error = await page.evaluate((given) => window.page.openError(given), options)
  return { server, error, asked: () => asked, address: account.address }
}

test('without anything newer, messages are sent and read', async ({ page }) => {
  const { server, error, address } = await open(page, newerApis)
  try {
    expect(await page.evaluate(() => 'withResolvers' in Promise || 'any' in AbortSignal)).toBe(
      false,
    )
    expect(error).toBeUndefined()
    await page.evaluate((self) => window.page.send(self, 'an old one', 'sent'), address)
    const history = await page.evaluate((self) => window.page.history(self), address)
    expect(history.map(({ content }) => content)).toEqual(['an old one'])
    await page.evaluate(() => window.page.close())
  } finally {
    await server.close()
  }
})

for (const [names, missing] of [
  [['DecompressionStream'], 'DecompressionStream'],
  [['Object.hasOwn'], 'Object.hasOwn'],
  [['Navigator.locks'], 'Web Locks'],
  [['Worker'], 'Worker'],
] as const) {
  test(`without ${missing} a client is refused by that name, before the wallet is asked`, async ({
    page,
  }) => {
    const { server, error, asked } = await open(page, names)
    try {
      expect(error).toMatchObject({ code: 'unsupported_platform', details: { missing } })
      expect(error?.message).toContain(missing)
      expect(asked()).toBe(0)
    } finally {
      await server.close()
    }
  })
}
