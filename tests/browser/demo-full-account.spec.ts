/** The demo for somebody whose hundred devices are gone: the wallet alone makes room. */
import { expect, test } from '@playwright/test'
import { anAccount } from '../support/accounts.ts'
import { installWallet } from '../support/demo-site.ts'
import { serveDemo } from '../support/demo-visit.ts'
import { publishLostDevices } from '../support/lost-devices.ts'

const site = serveDemo()

test('an account that is full shows its devices, removes those that are chosen, and connects', async ({
  browser,
}, testInfo) => {
  const account = anAccount()
  await publishLostDevices(site.node.url, account, 100)

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
