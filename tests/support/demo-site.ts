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
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type NodeProcess, startNodeProcess } from './node-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

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

export const startDemoSite = async (): Promise<DemoSite> => {
  const [folder, node] = await Promise.all([buildDemo(), startNodeProcess()])
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = normalize(pathname === '/' ? '/index.html' : pathname)
    readFile(join(folder, path)).then(
      (bytes) => {
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

export interface TestWallet {
  readonly address: string
  /** Texts that it was asked to sign. */
  readonly asked: string[]
  /** What it does from now on when it is asked. */
  mood: 'signs' | 'declines' | 'never answers'
}

/**
 * Gives a browser an extension's wallet: EIP-1193 by EIP-6963, with a key that stays out here. Two
 * browsers that are given the same account belong to one person.
 */
export const installWallet = async (
  context: BrowserContext,
  account = privateKeyToAccount(generatePrivateKey()),
): Promise<TestWallet> => {
  const wallet: TestWallet = { address: account.address, asked: [], mood: 'signs' }
  await context.exposeFunction('askTestWallet', async (data: string) => {
    wallet.asked.push(Buffer.from(data.slice(2), 'hex').toString())
    if (wallet.mood === 'declines') return ''
    if (wallet.mood === 'never answers') return new Promise<string>(() => undefined)
    return account.signMessage({ message: { raw: Buffer.from(data.slice(2), 'hex') } })
  })
  await context.addInitScript((address) => {
    // As extensions do: an account is told to a site once the person allowed it.
    const allowed = 'test-wallet-allowed'
    const request = async ({ method, params }: { method: string; params?: unknown }) => {
      if (method === 'eth_requestAccounts') localStorage.setItem(allowed, 'yes')
      if (method === 'eth_requestAccounts' || method === 'eth_accounts') {
        return localStorage.getItem(allowed) === null ? [] : [address]
      }
      const ask: unknown = Reflect.get(window, 'askTestWallet')
      if (method !== 'personal_sign' || !Array.isArray(params) || typeof ask !== 'function') {
        throw Object.assign(new Error('unsupported'), { code: 4200 })
      }
      const signature: unknown = await ask(params[0])
      if (signature === '') throw Object.assign(new Error('declined'), { code: 4001 })
      return signature
    }
    const info = {
      uuid: '350670db-19fa-4704-a166-e52e178b59d2',
      name: 'Harbour Wallet',
      rdns: 'org.example.harbour',
      icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><rect width='8' height='8' rx='2' fill='%23d9713c'/></svg>",
    }
    const announce = () => {
      const detail = Object.freeze({ info, provider: { request } })
      window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
    }
    window.addEventListener('eip6963:requestProvider', announce)
    announce()
  }, account.address)
  return wallet
}
