/** Streams are cut at the node again and again; nothing is missing and nothing comes twice. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  const texts = Array.from({ length: 30 }, (_, number) => `line ${number}`)
  for (const [number, text] of texts.entries()) {
    await alicePhone.send(bob, text)
    if (number % 10 === 5) await world.node.cut()
  }
  await alicePhone.settled(bob, texts.length)
  await bobPhone.settled(alice, texts.length)
  assert.deepEqual(
    (await bobPhone.history(alice)).map(({ content }) => content),
    texts,
  )
  assert.deepEqual(
    (await bobPhone.streamed(texts.length)).map(({ content }) => content),
    texts,
  )
}
