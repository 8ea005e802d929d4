/** A client that ended by itself, as somebody else has its database now: whatever is called says why. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Client } from '../../src/facade/client.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import { codeOf } from '../store/support.ts'
import { freshDatabase, loadTestCrypto } from '../support/engine.ts'
import {
  createNodeWorld,
  type NodeWorld,
  openNodeClient,
  wasmBytes,
} from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'

let world: NodeWorld

beforeAll(async () => {
  world = await createNodeWorld(runSeed())
})

afterAll(() => world.close())

const drain = async (stream: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of stream);
}

/** A client whose database somebody else has taken over, who let its lock go by mistake. */
const aSupersededClient = async (): Promise<Client> => {
  const wallet = world.wallet(await world.person('alice'))
  const database = freshDatabase()
  const client = await openNodeClient({ wallet, node: world.url, database }, await wasmBytes())
  const other = await openIdbStore(database, await loadTestCrypto(), () => undefined)
  onTestFinished(async () => {
    await other.close()
    await client.close()
  })
  return client
}

test('the first write that another has fenced off ends the client, and all that waits', async () => {
  const client = await aSupersededClient()
  const chat = client.conversation(client.address)
  const [events, messages] = [codeOf(drain(client.events())), codeOf(drain(client.messages()))]
  expect(await codeOf(chat)).toBe('leadership_lost')
  expect(await events).toBe('leadership_lost')
  expect(await messages).toBe('leadership_lost')
  expect(client.status.state).toBe('closed')
  expect(client.status.warnings.at(-1)?.code).toBe('leadership_lost')
})

test('a client that nobody calls ends as well, and what is called later says the same', async () => {
  const client = await aSupersededClient()
  // What the node says is written down, or not.
  expect(await codeOf(drain(client.events()))).toBe('leadership_lost')
  expect(await codeOf(client.conversations())).toBe('leadership_lost')
  expect(await codeOf(client.installations())).toBe('leadership_lost')
  expect(await codeOf(drain(client.events()))).toBe('leadership_lost')
  expect(await codeOf(drain(client.messages()))).toBe('leadership_lost')
  await client.close()
})
