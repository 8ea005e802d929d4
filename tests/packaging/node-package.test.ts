/**
 * What you get by installing `padlock-node` alone: few packages, and a node that finds everything
 * it needs. Runs on the package that `npm run build` left in node/dist.
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
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { expect, test } from '@playwright/test'
import { whyTooOld } from '../../node/src/node-version.ts'
import { ensurePostgres } from '../../scripts/postgres.ts'
import { startRpcServer } from '../node/rpc-server.ts'
import {
  inboxEnvelope,
  minuteNs,
  nodeClient,
  refusalOf,
  register,
  TestInstallation,
  testAccount,
} from '../node/support.ts'
import { npm, pack } from './project.ts'
import { type StartedNode, startInstalledNode } from './servers.ts'

const execute = promisify(execFile)

/** Measured: 21.2, of which sodium-native has 18, built for every platform that it runs on. */
const limitMegabytes = 40

let dir: string
let main: string
let contents: readonly string[]

test.beforeAll(async () => {
  test.setTimeout(300_000)
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'padlock-node-package-')))
  dir = join(folder, 'app')
  main = join(dir, 'node_modules/padlock-node/dist/main.js')
  mkdirSync(dir)
  const packed = await pack('node', folder)
  contents = packed.contents
  writeFileSync(join(dir, 'package.json'), '{ "name": "app", "private": true }\n')
  await npm(dir, 'install', '--prefer-offline', '--no-audit', packed.file)
})

test.afterAll(() => {
  if (dir !== undefined) rmSync(resolve(dir, '..'), { recursive: true, force: true })
})

test('it brings these packages, one command, and little weight', () => {
  const lock: unknown = JSON.parse(
    readFileSync(join(dir, 'node_modules/.package-lock.json'), 'utf8'),
  )
  const { packages } = lock as { packages: Record<string, { dependencies?: object }> }
  const own = packages['node_modules/padlock-node']
  expect(Object.keys(own?.dependencies ?? {})).toEqual(['sodium-native'])
  // The other 17 are sodium-native's, in versions that it leaves open.
  expect(Object.keys(packages).length).toBeLessThanOrEqual(25)
  expect(Object.keys(packages).filter((path) => /\/(?:viem|pino|pg|cors)$/.test(path))).toEqual([])
  expect(readdirSync(join(dir, 'node_modules/.bin'))).toEqual(['padlock-node'])
  const bytes = readdirSync(join(dir, 'node_modules'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
    .reduce((sum, size) => sum + size, 0)
  expect(bytes / 1e6).toBeLessThan(limitMegabytes)
  expect(contents).toContain('dist/THIRD-PARTY-LICENSES.txt')
})

const runNode = async (...args: string[]): Promise<string> =>
  (await execute(process.execPath, [main, ...args], { cwd: dir })).stdout

const chainAnswers: Readonly<Record<string, string>> = {
  eth_chainId: '0x1',
  eth_getCode: '0x00',
  eth_call: `0x1626ba7e${'0'.repeat(56)}`,
}

const clientOf = ({ url }: StartedNode) => nodeClient(createGrpcTransport({ baseUrl: url }))

/** Does with a node what takes every package in its bundle, and stops it. */
const useNode = async (...options: string[]): Promise<TestInstallation> => {
  const chain = await startRpcServer(({ method }) => chainAnswers[method] ?? '0x')
  const node = await startInstalledNode(dir, [
    ...options,
    ...['--chain', `1=${chain.url}`, '--admin-port', '0'],
  ])
  try {
    const info = await fetch(`${node.url}/padlock.v1.NodeService/GetInfo`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: 'https://app.example' },
      body: '{}',
    })
    expect(info.headers.get('access-control-allow-origin')).toBe('*')
    expect(await info.json()).toMatchObject({ version: expect.stringContaining('padlock-node/') })

    const client = clientOf(node)
    const { nodeId, nodeNs } = await client.getInfo({})
    const bob = await register(client, 'bob', nodeNs)
    await client.publish({ envelopes: [inboxEnvelope(bob, 'gm')] })
    // Ed25519 is verified by the native package.
    const forged = bob.proof(nodeId, nodeNs + minuteNs)
    forged.signature = bob.proof(nodeId, nodeNs + 2n * minuteNs).signature
    const topics = [{ topic: bob.inbox }]
    expect(await refusalOf(client.query({ topics, proofs: [forged] }))).toMatchObject({
      code: 'bad_proof',
    })

    const carol = new TestInstallation(testAccount('carol'), 'carol')
    await client.publish({ envelopes: [carol.contractBundle(nodeNs)] })
    expect(chain.asked.map(({ method }) => method)).toContain('eth_call')

    const admin = () => /admin +(http:\S+)/.exec(node.printed())?.[1]
    await expect.poll(admin).toBeDefined()
    const metrics = await (await fetch(`${admin()}/metrics`)).text()
    expect(metrics).toContain('padlock_chain_answers_total{word="valid"} 1')
    expect(metrics).toContain('process_resident_memory_bytes')
    return bob
  } finally {
    expect(await node.stop()).toBe(0)
    await chain.close()
  }
}

/** Starts a node on what another one stored, and returns the envelopes there. */
const readAgain = async (bob: TestInstallation, ...options: string[]): Promise<string[]> => {
  const node = await startInstalledNode(dir, options)
  try {
    const client = clientOf(node)
    const { nodeId, nodeNs } = await client.getInfo({})
    const { envelopes } = await client.query({
      topics: [{ topic: bob.inbox }],
      proofs: [bob.proof(nodeId, nodeNs + minuteNs)],
    })
    return envelopes.map(({ message }) => Buffer.from(message).toString().replaceAll('\0', ''))
  } finally {
    await node.stop()
  }
}

test('it keeps envelopes in SQLite, and its commands work on it', async () => {
  const data = join(dir, 'data')
  const bob = await useNode('--data', data)
  expect(await readAgain(bob, '--data', data)).toEqual(['gm'])
  const copy = join(dir, 'copy.sqlite')
  await runNode('backup', '--data', data, '--to', copy)
  expect(await runNode('check', '--file', copy)).toMatch(/problems +none/)
  await runNode('restore', '--from', copy, '--data', join(dir, 'restored'))
  expect(await readAgain(bob, '--data', join(dir, 'restored'))).toEqual(['gm'])
})

test('it keeps envelopes in PostgreSQL', async () => {
  const postgres = await ensurePostgres()
  const database = await postgres.createDatabase()
  try {
    const bob = await useNode('--database', database)
    expect(await readAgain(bob, '--database', database)).toEqual(['gm'])
  } finally {
    await postgres.dropDatabase(database)
    await postgres.close()
  }
})

test('it explains its options', async () => {
  const help = await runNode('--help')
  for (const option of ['--data', '--database', '--chain']) expect(help).toContain(option)
})

test("the machine's own Node runs it, or is named as too old", async () => {
  const checkout = resolve(import.meta.dirname, '../..')
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(checkout))
    .map((folder) => join(folder, 'node'))
    .find((path) => existsSync(path))
  if (found === undefined) throw new Error('there is no node on PATH but that of this checkout')
  const version = (await execute(found, ['-p', 'process.versions.node'])).stdout.trim()
  const problem = whyTooOld(version)
  const ending = execute(found, [main, '--version']).catch((error: unknown) => error)
  expect(await ending).toMatchObject(
    problem === undefined
      ? { stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' }
      : { code: 1, stdout: '', stderr: `padlock-node: ${problem}\n` },
  )
})
