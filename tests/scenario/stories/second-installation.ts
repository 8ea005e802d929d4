/** A device added midway gets everything from then on, including the account's own messages. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  await alicePhone.send(bob, 'before', 'sent')
  await bobPhone.settled(alice, 1)

  const bobLaptop = await world.device(bob, 'bob-laptop')
  await bobLaptop.reached('live')
  await alicePhone.send(bob, 'to both devices', 'sent')
  await bobLaptop.settled(alice, 1)
  await bobPhone.settled(alice, 2)
  await bobPhone.send(alice, 'from the phone', 'sent')
  await bobLaptop.settled(alice, 2)
  await bobLaptop.send(alice, 'from the laptop', 'sent')
  await Promise.all([alicePhone.settled(bob, 4), bobPhone.settled(alice, 4)])

  const atAlice = await alicePhone.history(bob)
  const atPhone = await bobPhone.history(alice)
  const atLaptop = await bobLaptop.history(alice)
  assert.deepEqual(
    atPhone.map(({ id }) => id),
    atAlice.map(({ id }) => id),
  )
  assert.deepEqual(
    atLaptop.map(({ content, state }) => ({ content, state })),
    [
      { content: 'to both devices', state: 'received' },
      { content: 'from the phone', state: 'sent' },
      { content: 'from the laptop', state: 'sent' },
    ],
  )
  // One signature for each installation, none for anything else.
  assert.equal(await bobLaptop.signatures(), 2)
}
