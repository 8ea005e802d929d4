/**
 * Two people write at the same moments, so that times tie: both still see one order, and paging one
 * by one skips nothing.
 */
import assert from 'node:assert/strict'
import type { Story } from '../../support/world.ts'

export const story: Story = async (world) => {
  const rounds = Math.round(60 * world.scale)
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  await alicePhone.send(bob, 'gm', 'sent')
  await bobPhone.settled(alice, 1)
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all([alicePhone.send(bob, `a ${round}`), bobPhone.send(alice, `b ${round}`)])
  }
  const total = 1 + 2 * rounds
  await Promise.all([alicePhone.settled(bob, total), bobPhone.settled(alice, total)])
  const ids = async (pageSize: number) => ({
    atAlice: (await alicePhone.history(bob, pageSize)).map(({ id }) => id),
    atBob: (await bobPhone.history(alice, pageSize)).map(({ id }) => id),
  })
  const { atAlice, atBob } = await ids(100)
  assert.equal(atAlice.length, total)
  assert.deepEqual(atBob, atAlice)
  assert.deepEqual(await ids(1), { atAlice, atBob })
}
