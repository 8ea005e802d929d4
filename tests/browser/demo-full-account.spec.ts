/** The demo for somebody whose hundred devices are gone: the wallet alone makes room. */
import { expect, test } from '@playwright/test'
import { connectNode } from '../../src/network/connect.ts'
import { parseAddress } from '../../src/protocol/ids.ts'
import { TestInstallation } from '../node/support.ts'
import { anAccount } from '../support/accounts.ts'
import { type DemoSite, installWallet, startDemoSite } from '../support/demo-site.ts'

let site: DemoSite
test.beforeAll(async () => {
  site = await startDemoSite()
})
test.afterAll(() => site.close())

test('an account that is full shows its devices, removes those that are chosen, and connects', async ({
  browser,
}, testInfo) => {
  const account = anAccount()
  const address = parseAddress(account.address)
  if (!address.ok) throw new Error(address.why)
  const owner = {
    address: address.value,
    signText: async (message: string) =>
      Uint8Array.from(Buffer.from((await account.signMessage({ message })).slice(2), 'hex')),
  }
  const network = connectNode(site.node.url)
  const { nodeNs } = await network.getInfo()
  for (let nth = 0; nth < 100; nth += 1) {
    const lost = new TestInstallation(owner, `lost ${nth} of ${account.address}`)
    await network.publish([await lost.bundle(nodeNs)])
  }

  const context = await browser.newContext()
  const wallet = await installWallet(context, account)
  const page = await context.newPage()
  await page.goto(`${site.url}#wallet`)
  await page.getByRole('button', { name: 'Harbour Wallet' }).click()
  await expect(page.getByText(/maximum number of devices/)).toBeVisible()
  // Nobody was asked to sign for a device that there is no place for.
  expect(wallet.asked).toEqual([])

  await page.getByRole('button', { name: 'Remove old devices' }).click()
  const dialog = page.getByRole('dialog', { name: 'Remove old devices' })
  await expect(dialog.getByRole('checkbox')).toHaveCount(100)
  await page.screenshot({ path: testInfo.outputPath('full-account.png') })
  await dialog.getByRole('checkbox').first().uncheck()
  await dialog.getByRole('button', { name: 'Remove 89 devices' }).click()
  await expect(page.getByLabel('Write to an address')).toBeVisible()
  expect(wallet.asked.map((text) => text.split('\n')[0])).toEqual([
    'XMTP: Revoke Messaging Access',
    'XMTP: Grant Messaging Access',
  ])
  await context.close()
})
