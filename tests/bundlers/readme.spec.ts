/** The README's examples for applications, unchanged, in the projects that they are for. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, type Page, test } from '@playwright/test'
import { transform } from 'esbuild'
import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { cacheDir } from '../../scripts/files.ts'
import { fileBlocks, readText } from '../docs/markdown.ts'
import { pack } from '../packaging/project.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type BundlerProject, createBundlerProject } from './project.ts'

const examples = fileBlocks(readText('README.md'))

const example = (name: string): string => {
  const code = examples.get(name)
  if (code === undefined) throw new Error(`the README has no file ${name}`)
  return code
}

type InstallWallet = (page: Page, account: PrivateKeyAccount) => Promise<PrivateKeyAccount>

let node: NodeProcess
let folder: string
let tarball: string
let installWallet: InstallWallet
test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'padlock-readme-'))
  tarball = (await pack('.', folder)).file
  node = await startNodeProcess()
  // Below this checkout, so that it finds the packages that it imports.
  mkdirSync(cacheDir, { recursive: true })
  const stub = join(cacheDir, 'readme-wallet-stub.mjs')
  writeFileSync(stub, stripTypeScriptTypes(example('wallet-stub.ts')))
  const module: unknown = await import(pathToFileURL(stub).href)
  ;({ installWallet } = module as { installWallet: InstallWallet })
})
test.afterAll(async () => {
  await node?.close()
  rmSync(folder, { recursive: true, force: true })
})

let project: BundlerProject | undefined
test.afterEach(async () => {
  await project?.delete()
  project = undefined
})

/** The README's wallet, counting how often it is asked. */
const playWallet = async (page: Page): Promise<{ address: string; asked: { count: number } }> => {
  const account = privateKeyToAccount(generatePrivateKey())
  const asked = { count: 0 }
  const counting: PrivateKeyAccount = {
    ...account,
    signMessage: (arg) => {
      asked.count += 1
      return account.signMessage(arg)
    },
  }
  await installWallet(page, counting)
  return { address: account.address, asked }
}

test('React under StrictMode with wagmi: one prompt, one client, messages', async ({ page }) => {
  project = await createBundlerProject('react', tarball)
  for (const name of ['use-client.tsx', 'use-messages.tsx', 'chat.tsx']) {
    writeFileSync(join(project.dir, name), example(name))
  }
  await project.run(['tsc', '-p', '.'])
  const url = await project.serve([
    ...['vite', '--port', 'PORT', '--strictPort', '--host', '127.0.0.1'],
  ])
  const { address, asked } = await playWallet(page)
  const query = new URLSearchParams({ node: node.url, peer: address })
  const sayGm = page.getByRole('button', { name: 'Say gm' })

  await page.goto(`${url}?${query}`)
  await page.getByRole('button', { name: 'Test Wallet' }).click()
  await expect(sayGm).toBeEnabled({ timeout: 30_000 })
  await sayGm.click()
  await expect(page.getByRole('listitem')).toHaveText(['gm'])
  await expect(page.getByRole('alert')).toHaveCount(0)

  // Again, with an installation: its history is there, and nobody is asked.
  await page.reload()
  await expect(page.getByRole('listitem')).toHaveText(['gm'], { timeout: 30_000 })
  await expect(page.getByRole('alert')).toHaveCount(0)
  expect(asked.count).toBe(1)
})

test('Next.js renders the page on the server and opens the client in the browser', async ({
  page,
}) => {
  project = await createBundlerProject('next-16', tarball)
  // Next.js installs TypeScript by itself where it finds it used.
  for (const [name, path] of [
    ['use-client.tsx', 'app/use-client.jsx'],
    ['page.tsx', 'app/page.jsx'],
  ] as const) {
    const code = example(name).replace('http://127.0.0.1:8787', node.url)
    const { code: plain } = await transform(code, { loader: 'tsx', jsx: 'preserve' })
    writeFileSync(join(project.dir, path), plain)
  }
  const url = await project.serve([
    ...['next', 'dev', '--turbopack', '--port', 'PORT', '--hostname', '127.0.0.1'],
  ])
  expect(await (await fetch(url)).text()).toContain('Opening …')
  await page.goto(url)
  await expect(page.getByText(/^You are 0x[0-9a-fA-F]{40}$/)).toBeVisible({ timeout: 60_000 })
})
