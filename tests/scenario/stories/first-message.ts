/** Alice writes to Bob, Bob answers. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')

  await alicePhone.send(bob, 'gm', 'sent')
  await bobPhone.settled(alice, 1)
  await bobPhone.send(alice, 'gm to you', 'sent')
  await alicePhone.settled(bob, 2)

  const atAlice = await alicePhone.history(bob)
  const atBob = await bobPhone.history(alice)
  assert.deepEqual(
    atAlice.map(({ content }) => content),
    ['gm', 'gm to you'],
  )
  assert.deepEqual(
    atAlice.map(({ state }) => state),
    ['sent', 'received'],
  )
  assert.deepEqual(
    atBob.map(({ state }) => state),
    ['received', 'sent'],
  )
  assert.deepEqual(
    atBob.map(({ id }) => id),
    atAlice.map(({ id }) => id),
  )
  assert.deepEqual(
    atBob.map(({ sender }) => sender),
    [alice.address, bob.address],
  )
  assert.deepEqual(await alicePhone.signatures(), 1)
}
