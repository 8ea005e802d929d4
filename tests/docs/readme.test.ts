/** The README's examples are programs: they run here, with the real engine, wasm and node. */
import { stripTypeScriptTypes } from 'node:module'
import { runInThisContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import type { Client, ClientOptions } from '../../src/facade/client.ts'
import {
  createNodeWorld,
  type NodeWorld,
  openNodeClient,
  wasmBytes,
} from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'
import { type Block, readText, runnableBlocks } from './markdown.ts'

let world: NodeWorld | undefined
afterEach(async () => {
  await world?.close()
  world = undefined
})

/** What the example reads without declaring it, and what stands in for `padlock-sdk`. */
interface Granted {
  readonly modules: Readonly<Record<string, unknown>>
  readonly wallet?: unknown
  readonly client?: Client
  readonly show?: (...what: readonly unknown[]) => void
}

const [firstLines, requests, loggingOut] = runnableBlocks(readText('README.md'))

/** Runs a module in this thread: its imports are looked up in `modules`, the rest is as it stands. */
const runBlock = async ({ code, line }: Block, granted: Granted): Promise<void> => {
  const body = stripTypeScriptTypes(code).replaceAll(
    /^import (\{.*?\}) from '(.+?)'$/gm,
    "const $1 = modules['$2']",
  )
  // One line is put before the example's own, so that a stack names the README's lines. What an example
  // declares itself it declares inside.
  const head = '(async ({ modules, wallet, client, show }) => { await (async () => {'
  const run: unknown = runInThisContext(`${head}\n${body}\n})() })`, {
    filename: 'README.md',
    lineOffset: line - 2,
  })
  if (typeof run !== 'function') throw new TypeError('the example is not a program')
  const running: unknown = run(granted)
  await running
}

/** Waits for one message of somebody else and answers it. */
const answerFirst = async (client: Client, text: string): Promise<void> => {
  for await (const message of client.messages({ since: '0' })) {
    if (message.isOwn) continue
    const chat = await client.conversation(message.sender)
    await chat.send(text, { until: 'sent' })
    return
  }
}

test('the example of the README runs against a real node', async () => {
  world = await createNodeWorld(runSeed())
  const { url } = world
  const wasm = await wasmBytes()
  const alice = world.wallet(await world.person('alice'))
  const bob = world.wallet(await world.person('bob'))
  const open = (options: ClientOptions) =>
    openNodeClient({ ...options, node: url, database: `docs-${crypto.randomUUID()}` }, wasm)

  const example = firstLines
  if (!example) throw new Error('the README has no first example')
  const addresses = example.code.match(/0x[0-9a-fA-F]{40}/g) ?? []
  expect(addresses).toHaveLength(1)
  const code = example.code.replaceAll(/0x[0-9a-fA-F]{40}/g, bob.address)

  const atBob = await open({ wallet: bob, node: url })
  const answering = answerFirst(atBob, 'gm, good to see you')
  const shown: (readonly unknown[])[] = []
  const opened: Client[] = []
  const createClient = async (options: ClientOptions): Promise<Client> => {
    expect(options.node).toBe('https://node.example')
    const client = await open(options)
    opened.push(client)
    return client
  }
  await runBlock(
    { ...example, code },
    {
      modules: { 'padlock-sdk': { createClient } },
      wallet: alice,
      show: (...what) => shown.push(what),
    },
  )
  await answering
  await atBob.close()

  expect(shown).toContainEqual(['status'])
  expect(shown).toContainEqual(['message-state'])
  expect(shown.filter((what) => what.length === 2)).toEqual([
    [bob.address, 'gm, good to see you'],
    ['gm, good to see you', 'received'],
    ['gm', 'sent'],
  ])
  expect(opened.map(({ address, status }) => [address, status.state])).toEqual([
    [alice.address, 'closed'],
  ])
  expect(alice.asked.count).toBe(1)
})

test('logging out as the README says leaves no device in the account and no data here', async () => {
  world = await createNodeWorld(runSeed())
  const { url } = world
  const wasm = await wasmBytes()
  const wallet = world.wallet(await world.person('alice'))
  const open = (database: string) => openNodeClient({ wallet, node: url, database }, wasm)
  const database = `docs-${crypto.randomUUID()}`
  const client = await open(database)
  const { installationId } = client
  if (!loggingOut) throw new Error('the README does not say how to log out')
  await runBlock(loggingOut, { modules: {}, client })

  expect(client.status.state).toBe('closed')
  expect((await indexedDB.databases()).map(({ name }) => name)).not.toContain(database)
  const other = await open(`docs-${crypto.randomUUID()}`)
  const devices = await other.installations()
  expect(devices.find(({ id }) => id === installationId)?.state).toBe('revoked')
  await other.close()
})

test('requests are accepted, blocked and deleted as the README says', async () => {
  world = await createNodeWorld(runSeed())
  const { url } = world
  const wasm = await wasmBytes()
  const open = async (name: string) => {
    const wallet = world?.wallet(await world.person(name))
    if (!wallet) throw new Error('a wallet')
    return openNodeClient({ wallet, node: url, database: `docs-${crypto.randomUUID()}` }, wasm)
  }
  const [client, bob, carol] = [await open('alice'), await open('bob'), await open('carol')]
  for (const stranger of [carol, bob]) {
    const chat = await stranger.conversation(client.address)
    await chat.send(`hello from ${stranger.address}`, { until: 'sent' })
    for await (const { sender } of client.messages({ since: '0' })) {
      if (sender === stranger.address) break
    }
  }
  const shown: (readonly unknown[])[] = []
  if (!requests) throw new Error('the README does not say what to do with requests')
  await runBlock(requests, { modules: {}, client, show: (...what) => shown.push(what) })
  // The newest request is the first.
  expect(shown.slice(0, 2)).toMatchObject([
    [bob.address, { content: `hello from ${bob.address}` }],
    [carol.address, { content: `hello from ${carol.address}` }],
  ])
  expect(shown[2]).toMatchObject([[[bob.address, { content: `hello from ${bob.address}` }]]])
  expect(await client.consent(carol.address)).toBe('denied')
  expect(await client.conversations({ consent: 'denied' })).toMatchObject([
    { peer: carol.address, messageCount: 0 },
  ])
  for (const one of [client, bob, carol]) await one.close()
})
