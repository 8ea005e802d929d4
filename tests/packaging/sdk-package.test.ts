/**
 * What you get by installing `padlock-sdk` alone: one package, no programs, little weight, and
 * their own Node. Runs on the package that `npm run build` left in dist/.
 */
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@playwright/test'
import { type Packed, pack } from './project.ts'

const execute = promisify(execFile)

/** Without source maps. Measured: 1.5 MB, of which the copy inside the SDK has 0.66. */
const limitBytes = 2_000_000

/** As on somebody else's machine: nothing of this checkout's on PATH, and no npm around npm. */
const strangerEnvironment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_registry)/i.test(name)),
  ),
  PATH: (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .join(delimiter),
})

let folder: string
let dir: string
let packed: Packed
test.beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'padlock-sdk-package-')))
  dir = join(folder, 'app')
  mkdirSync(dir)
  packed = await pack('.', folder)
  const scripts = { where: 'node -p process.execPath', server: 'node server.mjs' }
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'app', private: true, scripts }))
  // A machine whose Node is older than this repository's own must not be refused.
  writeFileSync(join(dir, '.npmrc'), 'engine-strict=true\n')
  await npm('install', '--prefer-offline', '--no-audit', '--loglevel=error', packed.file)
})
test.afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

const npm = async (...args: string[]): Promise<string> => {
  const options = { cwd: dir, env: strangerEnvironment() }
  return (await execute('npm', args, options)).stdout
}

test('it is one package without programs', () => {
  const lock: unknown = JSON.parse(readFileSync(join(dir, 'package-lock.json'), 'utf8'))
  const { packages } = lock as { packages: Record<string, Record<string, unknown>> }
  expect(Object.keys(packages).sort()).toEqual(['', 'node_modules/padlock-sdk'])
  const own = packages['node_modules/padlock-sdk'] ?? {}
  for (const field of ['bin', 'dependencies', 'optionalDependencies', 'peerDependencies']) {
    expect(own).not.toHaveProperty(field)
  }
  expect(own).not.toHaveProperty('engines')
  const installed = readdirSync(join(dir, 'node_modules'))
  expect(installed.sort()).toEqual(['.package-lock.json', 'padlock-sdk'])
})

test('it is small, and holds what is needed to run and no sources', () => {
  const installed = join(dir, 'node_modules/padlock-sdk')
  const files = readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  expect(bytes).toBeLessThan(limitBytes)
  for (const name of [
    'LICENSE',
    'dist/THIRD-PARTY-LICENSES.txt',
    'dist/chains.js',
    'dist/embedded.js',
    'dist/index.js',
    'dist/inline.js',
    'dist/padlock.wasm',
    'dist/types/index.d.ts',
    'dist/worker.js',
  ]) {
    expect(existsSync(join(installed, name)), name).toBe(true)
  }
  expect(
    packed.contents.filter((path) => /(?<!\.d)\.ts$|\.rs$|\.proto$|\.map$/.test(path)),
  ).toEqual([])
})

test('scripts of the project run on the Node that they ran on before', async () => {
  const { stdout } = await execute('node', ['-p', 'process.execPath'], {
    cwd: dir,
    env: strangerEnvironment(),
  })
  expect(await npm('run', '--silent', 'where')).toBe(stdout)
})

test('on a server it can be imported, and creating a client says where it is wrong', async () => {
  const server = (entry: string) => `
import { createClient } from '${entry}'
const wallet = { address: '0x0000000000000000000000000000000000000001', signMessage: async () => '0x' }
createClient({ wallet, node: 'https://node.example' }).then(
  () => console.log('opened'),
  (error) => console.log(error.code, error.details.missing),
)
`
  for (const entry of ['padlock-sdk', 'padlock-sdk/inline']) {
    writeFileSync(join(dir, 'server.mjs'), server(entry))
    expect(await npm('run', '--silent', 'server')).toBe('unsupported_platform a page or a worker\n')
  }
})
