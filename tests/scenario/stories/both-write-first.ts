/** Both write their first message at the same moment: two sessions, one conversation. */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')

  await Promise.all([
    alicePhone.send(bob, 'alice was first', 'sent'),
    bobPhone.send(alice, 'bob was first', 'sent'),
  ])
  await Promise.all([alicePhone.settled(bob, 2), bobPhone.settled(alice, 2)])
  // The sessions converge, and the conversation goes on over whichever is chosen.
  for (let round = 0; round < 3; round += 1) {
    await alicePhone.send(bob, `from alice ${round}`, 'sent')
    await bobPhone.settled(alice, 3 + 2 * round)
    await bobPhone.send(alice, `from bob ${round}`, 'sent')
    await alicePhone.settled(bob, 4 + 2 * round)
  }
  const atAlice = await alicePhone.history(bob)
  const atBob = await bobPhone.history(alice)
  assert.equal(atAlice.length, 8)
  assert.deepEqual(
    atBob.map(({ id }) => id),
    atAlice.map(({ id }) => id),
  )
  assert.deepEqual(await alicePhone.warnings(), {})
  assert.deepEqual(await bobPhone.warnings(), {})
}
