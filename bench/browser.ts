/**
 * Chromium with a profile on disk, and the page in it: the built SDK, the reference and the bench's
 * own scripts, bundled into a folder of this run and served on loopback. Nothing is cached.
 */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { type BrowserContext, chromium, type Page } from '@playwright/test'
import { type BuildOptions, build } from 'esbuild'
import { describeLaunch } from '../scripts/browsers.ts'
import { root } from '../scripts/files.ts'

export interface BenchBrowser {
  readonly page: Page
  readonly context: BrowserContext
  /** The browser's release. */
  readonly version: string
  close(): Promise<void>
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}

/** Everything that the page loads, in one folder. */
const buildSite = async (site: string, olmBacklog: unknown): Promise<void> => {
  const common = {
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    logLevel: 'error',
    outdir: site,
    outbase: 'bench/page',
  } as const satisfies BuildOptions
  // libolm's script names them, but only for Node.
  const external = ['fs', 'path', 'crypto']
  const pages = ['page', 'bare', 'probe', 'load', 'load-padlock', 'load-olm']
  await build({
    ...common,
    external,
    // libolm's script assigns to the first without declaring it, and looks for random bytes in the
    // second.
    banner: { js: 'var OLM_OPTIONS, window = globalThis' },
    minify: true,
    entryPoints: pages.map((name) => `bench/page/${name}.ts`),
  })
  await build({
    ...common,
    outdir: join(site, 'readable'),
    outbase: 'src',
    entryPoints: ['src/index.ts', 'src/worker.ts'],
    // Only the build has it, and nothing here needs it.
    external: ['./embedded.ts'],
  })
  await cp(join(root, 'dist'), join(site, 'dist'), { recursive: true })
  await cp(join(root, 'dist/padlock.wasm'), join(site, 'readable/padlock.wasm'))
  await cp(join(root, 'node_modules/@matrix-org/olm/olm.wasm'), join(site, 'olm.wasm'))
  await writeFile(join(site, 'probe-worker.js'), "import '/probe.js'\nimport '/dist/worker.js'\n")
  await writeFile(join(site, 'olm-backlog.json'), JSON.stringify(olmBacklog))
  const html = '<!doctype html><title>bench</title><script type="module" src="/page.js"></script>'
  await writeFile(join(site, 'index.html'), html)
}

const serveFolder = async (folder: string) => {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = normalize(pathname === '/' ? '/index.html' : pathname)
    readFile(join(folder, path)).then(
      (bytes) => {
        response.writeHead(200, {
          'content-type': types[extname(path)] ?? 'application/octet-stream',
          'cache-control': 'no-store',
        })
        response.end(bytes)
      },
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('the page has no port')
  return { server, url: `http://127.0.0.1:${address.port}` }
}

/** @param sign signs a text with the throw-away key of an address. */
export const openBenchBrowser = async (
  olmBacklog: unknown,
  sign: (address: string, message: string) => Promise<string>,
): Promise<BenchBrowser> => {
  const folder = await mkdtemp(join(tmpdir(), 'padlock-bench-'))
  const site = join(folder, 'site')
  await buildSite(site, olmBacklog)
  const { server, url } = await serveFolder(site)
  const { launchOptions } = describeLaunch('chromium')
  // A profile on disk: without one Chromium keeps IndexedDB in memory.
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    ...launchOptions,
    headless: true,
  })
  const page = context.pages()[0] ?? (await context.newPage())
  page.on('pageerror', (error) => console.error(`page: ${error.message}`))
  await page.exposeFunction('benchSign', sign)
  await page.goto(url)
  await page.waitForFunction(() => 'bench' in globalThis)
  return {
    page,
    context,
    version: context.browser()?.version() ?? 'unknown',
    close: async () => {
      await context.close()
      server.closeAllConnections()
      server.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
