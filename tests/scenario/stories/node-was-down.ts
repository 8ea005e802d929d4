/**
 * The node is down: an existing installation opens, reads, writes; everything goes out when the
 * node is back.
 */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  await alicePhone.send(bob, 'while it runs', 'sent')
  await bobPhone.settled(alice, 1)

  await world.node.stop()
  await alicePhone.reload()
  await alicePhone.reached('offline')
  await alicePhone.send(bob, 'while it is down')
  const pending = await alicePhone.history(bob)
  assert.deepEqual(
    pending.map(({ content, state }) => ({ content, state })),
    [
      { content: 'while it runs', state: 'sent' },
      { content: 'while it is down', state: 'pending' },
    ],
  )
  await world.node.start()
  await bobPhone.settled(alice, 2)
  await alicePhone.settled(bob, 2)
}
