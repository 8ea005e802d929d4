/**
 * Two people with two devices each exchange 200 messages while devices reload and go offline and the
 * node restarts. In the end all four show the same conversation, nothing missing, nothing twice.
 */
import assert from 'node:assert/strict'
import { seededRandom } from '../../support/random.ts'
import type { Device, Story } from '../../support/world.ts'

const total = 200

export const story: Story = async (world) => {
  const random = seededRandom(world.seed)
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const devices: Device[] = []
  for (const person of [alice, bob]) {
    for (const kind of ['phone', 'laptop']) {
      devices.push(await world.device(person, `${person.name}-${kind}`))
    }
  }
  // All know of all before the first message, so that every device is owed every message.
  for (const device of devices) await device.reached('live')

  const closed = new Set<Device>()
  const other = (device: Device) => (device.person === alice ? bob : alice)
  for (let sent = 0; sent < total; ) {
    const device = random.pick(devices)
    if (closed.has(device)) {
      if (random.chance(0.3)) {
        await device.open()
        closed.delete(device)
      }
      continue
    }
    if (random.chance(0.04)) {
      await device.close()
      closed.add(device)
      continue
    }
    if (random.chance(0.04)) await device.reload()
    await device.send(other(device), `message ${sent}`)
    sent += 1
    if (sent === 70) await world.node.cut()
    if (sent === 100) await world.node.stop()
    if (sent === 110) await world.node.start()
  }
  for (const device of closed) await device.open()
  for (const device of devices) await device.settled(other(device), total)

  const [first, ...rest] = await Promise.all(devices.map((device) => device.history(other(device))))
  assert.ok(first)
  assert.equal(first.length, total)
  const contents = new Set(first.map(({ content }) => content))
  for (let sent = 0; sent < total; sent += 1) assert.ok(contents.has(`message ${sent}`))
  for (const history of rest) {
    assert.deepEqual(
      history.map(({ id }) => id),
      first.map(({ id }) => id),
    )
  }
  for (const device of devices) {
    const streamed = await device.streamed(total)
    await device.close()
    const ids = streamed.map(({ id }) => id)
    assert.equal(ids.length, total, `${device.name} streamed each message once`)
    assert.equal(new Set(ids).size, total)
  }
}
