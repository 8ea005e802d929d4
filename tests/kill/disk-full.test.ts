/** A node whose disk has no room left: it refuses to store, goes on serving, and forgets nothing. */
import { afterEach, expect, test, vi } from 'vitest'
import { minuteNs, refusalOf, TestStream } from '../node/support.ts'
import { cleanUp, end, fullDisk, Inbox, limitedFiles, start } from './fault-world.ts'

afterEach(cleanUp)
// Each starts a node several times, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

test.for([
  ['no file may grow', limitedFiles],
  ['the disk is full', fullDisk],
] as const)(
  'when %s, publishes are to be tried again and reads go on',
  async ([, makeRoom], { skip }) => {
    const room = await makeRoom()
    // Mounting is root's, and counts as skipped without; the other way is there for everybody.
    if (room === undefined) return skip()
    const first = await start(room.folder)
    const { client } = first
    const inbox = await Inbox.register(client, 'bob')
    for (let n = 0; n < 20; n += 1) expect(await inbox.send(client, `early ${n}`)).toBeUndefined()
    const { nodeId, nodeNs } = await client.getInfo({})
    const stream = new TestStream(client, {
      topics: [{ topic: inbox.owner.inbox, afterSequence: 20n }],
      proofs: [inbox.owner.proof(nodeId, nodeNs + minuteNs)],
    })
    await stream.nextOf('caughtUp')

    room.take(first.node)
    // What is there already may still have some room in it.
    let code: string | undefined
    for (let n = 0; n < 500 && code === undefined; n += 1) {
      code = await inbox.send(client, `last ${n}`, 20_000)
    }
    expect(code).toBe('unavailable')
    const stored = [...inbox.acknowledged]
    const tries = Array.from({ length: 10 }, (_, n) => inbox.send(client, `late ${n}`))
    for (const outcome of await Promise.all(tries)) {
      expect([undefined, 'unavailable']).toContain(outcome)
    }
    const claim = { claimId: new Uint8Array(16), installationIds: [inbox.owner.id] }
    await client.claimPrekeys(claim).catch(async (error) => {
      expect((await refusalOf(Promise.reject(error))).code).toBe('unavailable')
    })
    expect(await inbox.read(client)).toEqual(inbox.acknowledged)
    expect(inbox.acknowledged.slice(0, stored.length)).toEqual(stored)
    const seen = await stream.envelopes(inbox.acknowledged.length - 20)
    expect(seen.map(({ sequence }) => sequence)).toEqual(seen.map((_, index) => BigInt(21 + index)))
    expect(first.node.child.exitCode).toBeNull()

    room.give(first.node)
    for (let n = 0; n < 10; n += 1) expect(await inbox.send(client, `late ${n}`)).toBeUndefined()
    expect(await inbox.send(client, 'after')).toBeUndefined()
    const [next] = await stream.envelopes(1)
    expect(next?.sequence).toBe(BigInt(21 + seen.length))
    stream.close()
    await end(first.node, 'SIGKILL')
    const second = await start(room.folder)
    expect(await inbox.read(second.client)).toEqual(inbox.acknowledged)
    expect(inbox.acknowledged.at(-1)).toBe('after')
  },
)

test('a node that is killed on a full disk starts there again, and serves what it has', async ({
  skip,
}) => {
  const room = await fullDisk()
  if (room === undefined) return skip()
  const first = await start(room.folder)
  const inbox = await Inbox.register(first.client, 'bob')
  for (let n = 0; n < 20; n += 1) expect(await inbox.send(first.client, `${n}`)).toBeUndefined()
  room.take(first.node)
  await end(first.node, 'SIGKILL')
  const second = await start(room.folder)
  expect(await inbox.read(second.client)).toEqual(inbox.acknowledged)
  let code: string | undefined
  for (let n = 0; n < 500 && code === undefined; n += 1) {
    code = await inbox.send(second.client, `more ${n}`, 20_000)
  }
  expect(code).toBe('unavailable')
  room.give(second.node)
  expect(await inbox.send(second.client, 'after')).toBeUndefined()
  expect(await inbox.read(second.client)).toEqual(inbox.acknowledged)
})
