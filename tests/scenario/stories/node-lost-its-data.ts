/** The node comes back empty: everybody registers there again by themselves, and the talk goes on. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  await alicePhone.send(bob, 'on the old node', 'sent')
  await bobPhone.settled(alice, 1)

  await world.node.stop()
  await world.node.forget()
  await world.node.start()
  await alicePhone.send(bob, 'on the new node')
  await bobPhone.settled(alice, 2)
  await bobPhone.send(alice, 'still here')
  await alicePhone.settled(bob, 3)
  assert.deepEqual(
    (await alicePhone.history(bob)).map(({ content }) => content),
    ['on the old node', 'on the new node', 'still here'],
  )
  // A third person finds both of them there.
  const carol = await world.person('carol')
  const carolPhone = await world.device(carol, 'carol-phone')
  await carolPhone.send(bob, 'hello', 'sent')
  await bobPhone.settled(carol, 1)
  assert.equal(await alicePhone.signatures(), 1)
}
