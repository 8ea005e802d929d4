/** A note to oneself is sent at once, and reaches one's other devices. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const phone = await world.device(alice, 'alice-phone')
  await phone.send(alice, 'alone', 'sent')

  const laptop = await world.device(alice, 'alice-laptop')
  // Heard of by its first words: until then the phone may not know that there is a laptop.
  await laptop.send(alice, 'to my phone', 'sent')
  await phone.settled(alice, 2)
  await phone.send(alice, 'to my laptop', 'sent')
  await laptop.settled(alice, 2)
  assert.deepEqual(
    (await phone.history(alice)).map(({ content, state }) => ({ content, state })),
    [
      { content: 'alone', state: 'sent' },
      { content: 'to my phone', state: 'sent' },
      { content: 'to my laptop', state: 'sent' },
    ],
  )
}
