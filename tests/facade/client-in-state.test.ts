/** A client works wherever applications put it: in Vue's state, in a Proxy, with its methods taken off. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { reactive, ref } from 'vue'
import type { Client } from '../../src/facade/client.ts'
import {
  createNodeWorld,
  type NodeWorld,
  openNodeClient,
  wasmBytes,
} from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'

let world: NodeWorld
let client: Client

beforeAll(async () => {
  world = await createNodeWorld(runSeed())
  const wallet = world.wallet(await world.person('alice'))
  client = await openNodeClient({ wallet, node: world.url }, await wasmBytes())
})

afterAll(async () => {
  await client.close()
  await world.close()
})

test.each([
  ['a ref of Vue', () => ref({ client }).value.client],
  ['a reactive object of Vue', () => reactive({ client }).client],
  ['a Proxy', () => new Proxy(client, {})],
  ['a spread copy', () => ({ ...client })],
])('a client works in %s', async (_name, put) => {
  const stored = put() as Client
  expect(stored.status.state).toMatch(/^(connecting|live)$/)
  expect(stored.address).toBe(client.address)
  expect((await stored.installations()).map(({ isThis }) => isThis)).toEqual([true])
  const note = await stored.conversation(client.address)
  const ending = new AbortController()
  const read = stored.messages({ signal: ending.signal })[Symbol.asyncIterator]()
  const first = read.next()
  const sent = await reactive({ note }).note.send('gm', { until: 'sent' })
  expect((await first).value).toMatchObject({ id: sent.id })
  ending.abort()
})

test('the methods of a client need no `this`', async () => {
  const { conversation, conversations, canMessage, events } = client
  const note = await conversation(client.address)
  const { send, history } = note
  const { id } = await send('taken off')
  expect((await history({ limit: 1 })).map((message) => message.id)).toEqual([id])
  expect(await canMessage(client.address)).toBe(true)
  expect((await conversations()).map(({ peer }) => peer)).toEqual([client.address])
  const ending = AbortSignal.abort()
  for await (const event of events({ signal: ending })) expect(event).toBeUndefined()
})
