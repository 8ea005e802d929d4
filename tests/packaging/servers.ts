/**
 * What a packaging test serves: a folder of built files, and the node that was installed.
 */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
}

export interface Served {
  readonly url: string
  stop(): Promise<void>
}

/**
 * Serves a folder as a careful host would: nothing but its own scripts, workers and wasm may run.
 * `workers` is the policy's word on where workers come from.
 */
export const serveFolder = async (
  folder: string,
  nodeUrl: string,
  workers: string,
): Promise<Served> => {
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    `worker-src ${workers}`,
    `connect-src 'self' ${nodeUrl}`,
  ].join('; ')
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = normalize(pathname === '/' ? '/index.html' : pathname)
    readFile(join(folder, path)).then(
      (bytes) => {
        const type = contentTypes[extname(path)] ?? 'application/octet-stream'
        response.writeHead(200, { 'content-type': type, 'content-security-policy': policy })
        response.end(bytes)
      },
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export interface StartedNode {
  readonly url: string
  /** Everything it printed so far. */
  readonly printed: () => string
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>
}

/**
 * Starts the `padlock-node` of a project by its command and waits until it says where it listens.
 * `options` say where it keeps its data, and more.
 */
export const startInstalledNode = async (
  projectDir: string,
  options: readonly string[] = ['--data', join(projectDir, 'node-data')],
): Promise<StartedNode> => {
  const command = join(projectDir, 'node_modules/.bin/padlock-node')
  const args = [...options, '--port', '0', '--host', '127.0.0.1']
  const child = spawn(command, args, { cwd: projectDir, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let printed = ''
  const url = await new Promise<string>((resolve, reject) => {
    const read = (text: string): void => {
      printed += text
      const found = /http:\/\/[\d.]+:\d+/.exec(printed)
      if (found) resolve(found[0])
    }
    child.stdout.setEncoding('utf8').on('data', read)
    child.stderr.setEncoding('utf8').on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`padlock-node ended with ${code}: ${printed}`)))
  })
  const stop = (): Promise<number | null> => {
    child.kill('SIGTERM')
    return ended
  }
  return { url, printed: () => printed, stop }
}
