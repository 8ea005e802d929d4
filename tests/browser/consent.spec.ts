/** Requests, blocking and deleting, by the public API in a real browser. */
import { expect } from '@playwright/test'
import type { BrowserPage } from '../support/browser-page.ts'
import { test } from '../support/browser-test.ts'
import { type BrowserWorld, createBrowserWorld } from '../support/browser-world.ts'
import { runSeed } from '../support/random.ts'
import type { Device, Person } from '../support/world.ts'

let world: BrowserWorld
test.beforeEach(async ({ engine }) => {
  world = await createBrowserWorld(engine, runSeed())
})
test.afterEach(() => world.close())

interface Desk {
  readonly person: Person
  readonly device: Device
}

const join = async (name: string): Promise<Desk> => {
  const person = await world.person(name)
  return { person, device: await world.device(person, `${name}'s browser`) }
}

const pageOf = ({ device }: Desk): BrowserPage => world.page(device)

/** Writes, and returns once it has arrived at the other side's device. */
const deliver = async (from: Desk, to: Desk, text: string): Promise<void> => {
  await from.device.send(to.person, text, 'sent')
  await pageOf(to).evaluate(async (wanted) => {
    for await (const { content } of window.page.client().messages({ since: '0' })) {
      if (content === wanted) return
    }
  }, text)
}

type Filter = 'unknown' | 'allowed' | 'denied' | undefined

/** What a list of conversations says of each. */
const list = (desk: Desk, consent?: Filter) =>
  pageOf(desk).evaluate(async (filter) => {
    const found = await window.page
      .client()
      .conversations(filter === null ? {} : { consent: filter })
    return found.map((one) => ({
      peer: one.peer,
      consent: one.consent,
      count: one.messageCount,
      newest: one.lastMessage?.content,
    }))
  }, consent ?? null)

/** What the stream of all conversations gives from the start, up to a message that comes in any case. */
const streamUpTo = (desk: Desk, consent: 'unknown' | 'allowed', last: string) =>
  pageOf(desk).evaluate(
    async ([filter, end]) => {
      const contents: (string | undefined)[] = []
      const all = window.page.client().messages({ since: '0', consent: filter })
      for await (const { content } of all) {
        contents.push(content)
        if (content === end) break
      }
      return contents
    },
    [consent, last] as const,
  )

const contentsOf = async (desk: Desk, peer: Person) =>
  (await desk.device.history(peer)).map(({ content }) => content)

test('who writes first makes a request, in lists and streams, until the answer', async () => {
  const [alice, bob, carol] = [await join('Alice'), await join('Bob'), await join('Carol')]
  await deliver(alice, bob, 'gm')
  await deliver(carol, bob, 'hello')
  const { address } = alice.person
  const request = { peer: address, consent: 'unknown', count: 1, newest: 'gm' }
  expect(await list(bob, 'unknown')).toContainEqual(request)
  expect(await list(bob, 'unknown')).toHaveLength(2)
  expect(await list(bob, 'allowed')).toEqual([])
  expect(await list(alice, 'allowed')).toMatchObject([{ peer: bob.person.address, count: 1 }])

  const consent = pageOf(bob).evaluate(async () => {
    for await (const event of window.page.client().events()) {
      if (event.kind === 'consent') return event
    }
    return undefined
  })
  await bob.device.send(alice.person, 'gm to you', 'sent')
  expect(await consent).toEqual({ kind: 'consent', address, consent: 'allowed' })
  const accepted = { peer: address, consent: 'allowed', count: 2, newest: 'gm to you' }
  expect(await list(bob, 'allowed')).toEqual([accepted])
  expect(await list(bob, 'unknown')).toMatchObject([{ peer: carol.person.address }])
  expect(await streamUpTo(bob, 'allowed', 'gm to you')).toEqual(['gm', 'gm to you'])
  expect(await streamUpTo(bob, 'unknown', 'hello')).toEqual(['hello'])
})

test('of a denied account nothing is kept, and lists leave it out, after a reload too', async () => {
  const [alice, bob, carol] = [await join('Alice'), await join('Bob'), await join('Carol')]
  await deliver(alice, bob, 'gm')
  const { address } = alice.person
  const say = (consent: 'allowed' | 'denied') =>
    pageOf(bob).evaluate(([peer, what]) => window.page.client().setConsent(peer, what), [
      address,
      consent,
    ] as const)
  await say('denied')
  await alice.device.send(bob.person, 'are you there?', 'sent')
  await deliver(carol, bob, 'hello')
  expect(await bob.device.warnings()).toMatchObject({ sender_denied: 1 })
  expect(await list(bob)).toMatchObject([{ peer: carol.person.address }])
  expect(await list(bob, 'denied')).toMatchObject([{ peer: address, count: 1, newest: 'gm' }])

  await bob.device.reload()
  const denied = await pageOf(bob).evaluate((peer) => window.page.client().consent(peer), address)
  expect(denied).toBe('denied')
  await say('allowed')
  // On a session of its own: those that there were are gone.
  await deliver(bob, alice, 'I am here')
  await deliver(alice, bob, 'at last')
  expect(await contentsOf(bob, alice.person)).toEqual(['gm', 'I am here', 'at last'])
})

test('a message is copied and posted as data, deletes itself, and does not come back', async () => {
  const [alice, bob] = [await join('Alice'), await join('Bob')]
  for (const text of ['one', 'two', 'three']) await deliver(alice, bob, text)
  const copied = await pageOf(bob).evaluate(async (peer) => {
    const chat = await window.page.client().conversation(peer)
    const [message] = await chat.history({ limit: 1 })
    if (!message) throw new Error('no message')
    const { port1, port2 } = new MessageChannel()
    const arrived = new Promise<unknown>((resolve) => {
      port2.onmessage = ({ data }) => resolve(data)
    })
    port1.postMessage(message)
    const plain: unknown = JSON.parse(JSON.stringify(message))
    return { plain, clone: structuredClone(message), posted: await arrived }
  }, alice.person.address)
  expect(copied.plain).toMatchObject({ content: 'three', sender: alice.person.address })
  expect(copied.clone).toEqual(copied.plain)
  expect(copied.posted).toEqual(copied.plain)

  const deletion = await pageOf(bob).evaluate(async (peer) => {
    const client = window.page.client()
    const events = client.events()
    const chat = await client.conversation(peer)
    const message = (await chat.history()).find(({ content }) => content === 'two')
    if (!message) throw new Error('no message')
    await message.delete({ for: 'me' })
    for await (const event of events) {
      if (event.kind === 'deleted') return { event, id: message.id, chat: chat.id }
    }
    throw new Error('no event')
  }, alice.person.address)
  expect(deletion.event).toEqual({
    kind: 'deleted',
    conversationId: deletion.chat,
    messageIds: [deletion.id],
  })
  const two = ['one', 'three']
  expect(await contentsOf(bob, alice.person)).toEqual(two)
  await bob.device.reload()
  expect(await contentsOf(bob, alice.person)).toEqual(two)
  expect(await list(bob, 'unknown')).toMatchObject([{ count: 2, newest: 'three' }])
  expect(await contentsOf(alice, bob.person), 'the other side keeps it').toHaveLength(3)
})

test('a conversation is deleted with its messages, and made anew by the next one', async () => {
  const [alice, bob] = [await join('Alice'), await join('Bob')]
  await deliver(alice, bob, 'one')
  await bob.device.send(alice.person, 'two', 'sent')
  await pageOf(bob).evaluate(async (peer) => {
    await (await window.page.client().conversation(peer)).delete()
  }, alice.person.address)
  expect(await list(bob)).toEqual([])
  await bob.device.reload()
  expect(await list(bob)).toEqual([])
  await deliver(alice, bob, 'three')
  const anew = { peer: alice.person.address, consent: 'allowed', count: 1, newest: 'three' }
  expect(await list(bob)).toEqual([anew])
  expect(await contentsOf(bob, alice.person)).toEqual(['three'])
})
