/** What Alice wrote while Bob was away is there when he returns, in order. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  await bobPhone.close()

  const texts = Array.from({ length: 12 }, (_, number) => `letter ${number}`)
  for (const text of texts) await alicePhone.send(bob, text)
  await alicePhone.settled(bob, texts.length)

  await bobPhone.open()
  await bobPhone.settled(alice, texts.length)
  const received = await bobPhone.history(alice)
  assert.deepEqual(
    received.map(({ content }) => content),
    texts,
  )
  // The stream gives each of them once, also after another reload.
  await bobPhone.reload()
  await alicePhone.send(bob, 'the last one', 'sent')
  await bobPhone.settled(alice, texts.length + 1)
  assert.deepEqual(
    (await bobPhone.streamed(texts.length + 1)).map(({ content }) => content),
    [...texts, 'the last one'],
  )
}
