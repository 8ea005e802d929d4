/** A message to an address without installations waits, says why, and arrives when they register. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  await alicePhone.send(bob, 'are you there?')
  await alicePhone.waiting(bob, 'no_installation')

  const bobPhone = await world.device(bob, 'bob-phone')
  await bobPhone.settled(alice, 1)
  await alicePhone.settled(bob, 1)
  const [message] = await alicePhone.history(bob)
  assert.equal(message?.state, 'sent')
  assert.equal(message?.reason, undefined)
}
