/** Serves the built SDK and a page that drives it, on loopback. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
}

export interface StaticServer {
  readonly url: string
  /** The paths that anyone asked for. */
  readonly asked: ReadonlySet<string>
  close(): Promise<void>
}

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface ServeOptions {
  /** Where the page loads the SDK from; the server's own /dist/ if absent. */
  readonly sdkAt?: string
  /** Paths that are answered with 404. */
  readonly missing?: readonly string[]
  /** What is served at a path instead of the SDK's own file, and as what. */
  readonly instead?: Readonly<Record<string, { readonly type: string; readonly body: Buffer }>>
  /** A script that runs on the page before its own. */
  readonly prelude?: string
}

/** The page's script; `padlock-sdk` stays what is served under /dist/. */
const bundlePage = async (sdkAt: string): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [join(root, 'tests/browser/page/page.ts')],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'error',
    alias: {
      'padlock-sdk': `${sdkAt}/dist/index.js`,
      'padlock-sdk/inline': `${sdkAt}/dist/inline.js`,
    },
    external: [`${sdkAt}/dist/*`],
  })
  const [file] = outputFiles
  if (!file) throw new Error('the page was not bundled')
  return file.text
}

/**
 * @param headers added to every answer, such as a content policy.
 * @param scripts further scripts by their paths.
 */
export const serveTestPage = async (
  headers: Readonly<Record<string, string>> = {},
  scripts: Readonly<Record<string, string>> = {},
  { sdkAt = '', missing = [], instead = {}, prelude }: ServeOptions = {},
): Promise<StaticServer> => {
  const script = await bundlePage(sdkAt)
  const asked = new Set<string>()
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    asked.add(pathname)
    const answer = (status: number, type: string, body: string | Uint8Array) => {
      response.writeHead(status, { 'content-type': type, ...headers }).end(body)
    }
    if (pathname === '/') {
      const first = prelude === undefined ? '' : '<script src="/prelude.js"></script>'
      const html = `<!doctype html><title>Padlock</title>${first}<script type="module" src="/page.js"></script>`
      return answer(200, types['.html'] ?? '', html)
    }
    if (pathname === '/page.js') return answer(200, types['.js'] ?? '', script)
    if (pathname === '/prelude.js') return answer(200, types['.js'] ?? '', prelude ?? '')
    const other = instead[pathname]
    if (other) return answer(200, other.type, other.body)
    if (missing.includes(pathname)) return answer(404, 'text/plain', 'not here')
    const extra = scripts[pathname]
    if (extra !== undefined) return answer(200, types['.js'] ?? '', extra)
    const path = normalize(pathname)
    if (!path.startsWith('/dist/')) return answer(404, 'text/plain', 'not here')
    readFile(join(root, path)).then(
      (bytes) => answer(200, types[extname(path)] ?? 'application/octet-stream', bytes),
      () => answer(404, 'text/plain', 'not here'),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
