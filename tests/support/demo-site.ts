/**
 * The demo as a visitor gets it: built by vite, served from a folder, with a node beside it; and what
 * a visitor may bring along, a wallet in the browser.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { BrowserContext } from '@playwright/test'
import type { PrivateKeyAccount } from 'viem/accounts'
import { type NodeProcess, startNodeProcess } from './node-process.ts'
import { announceTestWallet, makeTestWallet, type TestWallet } from './test-wallet.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

/** From the site itself: the page's policy allows nothing else. */
const earlyPath = '/early.js'
const earlyTag = `<script src="${earlyPath}"></script>`

export interface DemoSite {
  /** The page, told which node to use. */
  readonly url: string
  readonly node: NodeProcess
  close(): Promise<void>
}

/** Builds into a folder of its own, so that two runs do not meet. */
const buildDemo = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'padlock-demo-'))
  const vite = join(root, 'node_modules/vite/bin/vite.js')
  const args = ['build', 'demo', '--config', 'vite.config.ts', '--outDir', folder, '--emptyOutDir']
  await promisify(execFile)(process.execPath, [vite, ...args], { cwd: root })
  return folder
}

/** @param early a script that the page runs before its own. */
export const startDemoSite = async (early?: string): Promise<DemoSite> => {
  const [folder, node] = await Promise.all([buildDemo(), startNodeProcess()])
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = normalize(pathname === '/' ? '/index.html' : pathname)
    const read =
      pathname === earlyPath ? Promise.resolve(early ?? '') : readFile(join(folder, path))
    read.then(
      (file) => {
        const isPage = early !== undefined && path === '/index.html'
        const bytes = isPage ? String(file).replace('<head>', `<head>${earlyTag}`) : file
        const type = types[extname(path)] ?? 'application/octet-stream'
        response.writeHead(200, { 'content-type': type }).end(bytes)
      },
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/?node=${encodeURIComponent(node.url)}`,
    node,
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
      await node.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Gives a browser a wallet before its pages run anything, as extensions do. */
export const installWallet = async (
  context: BrowserContext,
  account?: PrivateKeyAccount,
): Promise<TestWallet> => {
  const { wallet, sign } = makeTestWallet(account)
  await context.exposeFunction('askTestWallet', sign)
  await context.addInitScript(announceTestWallet, wallet.address)
  return wallet
}
