/**
 * Anyone can put bytes on an inbox. Garbage, truncated, oversized, unknown-version and replayed
 * envelopes lie between the good ones: every good one arrives, once and in order, and the rest is
 * counted.
 */
import assert from 'node:assert/strict'
import { seededRandom } from '../../support/random.ts'
import type { Story } from '../../support/world.ts'

const mib = 1024 * 1024
/** The length of a field of fewer bytes takes two; no message of this story comes near. */
const twoByteLengths = 1 << 14

export const story: Story = async (world) => {
  const random = seededRandom(world.seed)
  const good = 1_000 * world.scale
  const bad = 100 * world.scale
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const alicePhone = await world.device(alice, 'alice-phone')
  const bobPhone = await world.device(bob, 'bob-phone')
  const inbox = `message-${await bobPhone.installationId()}`
  const noise = (length: number) => Uint8Array.from({ length }, () => random.below(256))
  const { attacker } = world

  let stored: readonly Uint8Array[] = []
  const attack = async (round: number) => {
    if (round % 10 === 0) {
      // Not the huge one of the first round, which leaves no room for a change.
      stored = (await attacker.stored(inbox)).filter(({ length }) => length < twoByteLengths)
    }
    const envelope = stored[random.below(stored.length)] ?? noise(500)
    assert.equal(await attacker.publish(inbox, noise(1 + random.below(2_000))), 'stored')
    const cut = envelope.subarray(0, 1 + random.below(envelope.length - 1))
    // A cut that was made before is the same bytes, which the node knows.
    assert.equal(await attacker.publish(inbox, cut), 'stored')
    // Field 2 of InboxMessage: a version of later, holding the envelope of today.
    const body = envelope.subarray(3)
    const later = Uint8Array.of(0x12, 0x80 | (body.length & 0x7f), body.length >> 7, ...body)
    assert.equal(await attacker.publish(inbox, Uint8Array.of(...later, 0x18, round)), 'stored')
    // An unknown field makes other bytes of the same envelope: the node takes it, the ratchet does not.
    const replayed = Uint8Array.of(...envelope, 0xf8, 0x7f, round & 0x7f)
    assert.equal(await attacker.publish(inbox, replayed), 'stored')
    const huge = new Uint8Array(mib + (round === 0 ? 0 : 1)).fill(round)
    assert.equal(await attacker.publish(inbox, huge), round === 0 ? 'stored' : 'too_large')
  }

  // Of somebody whom Bob never answered he would keep fifty.
  await bobPhone.send(alice, 'I am listening', 'sent')
  await alicePhone.settled(bob, 1)
  await alicePhone.send(bob, 'message 0', 'sent')
  let attacks = 0
  for (let sent = 1; sent < good; sent += 1) {
    await alicePhone.send(bob, `message ${sent}`)
    if (sent % (good / bad) === 0) {
      await attack(attacks)
      attacks += 1
    }
    if (sent === good / 2) await bobPhone.reload()
  }
  await attack(attacks)
  await alicePhone.send(bob, 'the last one', 'sent')
  await bobPhone.settled(alice, good + 2)

  const [first, ...contents] = (await bobPhone.history(alice)).map(({ content }) => content)
  assert.equal(first, 'I am listening')
  assert.equal(contents.length, good + 1)
  for (let sent = 0; sent < good; sent += 1) assert.equal(contents[sent], `message ${sent}`)
  assert.equal(contents.at(-1), 'the last one')
  const warnings = await bobPhone.warnings()
  // Counted since the reload in the middle: some of each kind.
  assert.ok((warnings.malformed ?? 0) > bad / 2, JSON.stringify(warnings))
  assert.ok((warnings.message_key_gone ?? 0) > 0, JSON.stringify(warnings))
  await bobPhone.send(alice, 'I read them all', 'sent')
  await alicePhone.settled(bob, good + 3)
}
