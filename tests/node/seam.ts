/**
 * The seam between catch-up and live, under load: readers of many topics start at different moments
 * while others publish to all of them at full rate, and count what they get.
 */
import { expect } from 'vitest'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  TestInstallation,
  TestStream,
  testAccount,
} from './support.ts'

const registeredAtOnce = 100
const readersAtOnce = 4
const liveEach = 300

export async function readWhileOthersPublish(
  client: NodeClient,
  topicsRead: number,
): Promise<void> {
  const { nodeId, nodeNs } = await client.getInfo({})
  const owners: TestInstallation[] = []
  for (let n = 0; n < topicsRead; n += registeredAtOnce) {
    const some = Array.from({ length: registeredAtOnce }, (_, at) => {
      const name = `owner ${n + at}`
      return new TestInstallation(testAccount(name), name)
    })
    await client.publish({ envelopes: await Promise.all(some.map((one) => one.bundle(nodeNs))) })
    owners.push(...some)
  }
  const ownerAt = (n: number): TestInstallation => {
    const owner = owners[n % topicsRead]
    if (owner === undefined) throw new Error('no owner')
    return owner
  }

  let published = 0
  let publishing = true
  const publish = async (publisher: number): Promise<void> => {
    for (let n = 0; publishing; n += 1) {
      // Three topics a request, spread over all of them.
      const to = new Set([publisher * 7 + n, publisher * 31 + n * 3, n * 11].map(ownerAt))
      const envelopes = Array.from(to, (one) => inboxEnvelope(one, `${publisher} ${n}`, 1024))
      await client.publish({ envelopes })
      published += envelopes.length
      // In process nothing waits for a socket, and timers would starve.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const publishers = Promise.all([0, 1, 2, 3].map(publish))

  const topics = owners.map(({ inbox }) => ({ topic: inbox, afterSequence: 0n }))
  const proofs = owners.map((one) => one.proof(nodeId, nodeNs + 5n * minuteNs))
  const streams: TestStream[] = []
  const readers = Array.from({ length: readersAtOnce }, async (_, n) => {
    // Each starts when there is more to catch up with: the later ones have several pages.
    while (published < n * 700) await new Promise((resolve) => setImmediate(resolve))
    const stream = new TestStream(client, { topics, proofs })
    streams.push(stream)
    const positions = new Map<string, bigint>()
    const seen = { caughtUpWith: 0, live: 0 }
    let isLive = false
    const read = async (): Promise<void> => {
      const event = await stream.next()
      if (event.case === 'caughtUp') isLive = true
      if (event.case !== 'envelopes') return
      for (const { topic, sequence } of event.value.envelopes) {
        // No gap, nothing twice, in order: each is the one after the last.
        expect(sequence).toBe((positions.get(topic) ?? 0n) + 1n)
        positions.set(topic, sequence)
        if (isLive) seen.live += 1
        else seen.caughtUpWith += 1
      }
    }
    while (seen.live < liveEach) await read()
    return { seen, read }
  })
  const reading = await Promise.all(readers)
  publishing = false
  await publishers
  for (const { seen, read } of reading) {
    while (seen.caughtUpWith + seen.live < published) await read()
    expect(seen.caughtUpWith + seen.live).toBe(published)
  }
  expect(reading.at(-1)?.seen.caughtUpWith).toBeGreaterThan(1_000)
  for (const stream of streams) stream.close()
}
