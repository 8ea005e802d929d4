/** The README's example is a program: it runs here, with the real engine, wasm and node. */
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
import { type Block, readText, runnableBlock } from './markdown.ts'

let world: NodeWorld | undefined
afterEach(async () => {
  await world?.close()
  world = undefined
})

/** What the example reads without declaring it, and what stands in for `padlock-sdk`. */
interface Granted {
  readonly modules: Readonly<Record<string, unknown>>
  readonly wallet: unknown
  readonly show: (...what: readonly unknown[]) => void
}

/** Runs a module in this thread: its imports are looked up in `modules`, the rest is as it stands. */
const runBlock = async ({ code, line }: Block, granted: Granted): Promise<void> => {
  const body = stripTypeScriptTypes(code).replaceAll(
    /^import (\{.*?\}) from '(.+?)'$/gm,
    "const $1 = modules['$2']",
  )
  // One line is put before the example's own, so that a stack names the README's lines.
  const run: unknown = runInThisContext(`(async ({ modules, wallet, show }) => {\n${body}\n})`, {
    filename: 'README.md',
    lineOffset: line - 2,
  })
  if (typeof run !== 'function') throw new TypeError('the example is no program')
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

  const example = runnableBlock(readText('README.md'))
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
}, 60_000)
