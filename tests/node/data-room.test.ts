/** What all strangers together may put on the disk, however many they are. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  DataRoom,
  type DataRoomOptions,
  type Room,
  roomFor,
} from '../../node/src/limits/data-room.ts'
import { createMetrics } from '../../node/src/observe/metrics.ts'
import { createInProcessNode } from '../../node/src/testing.ts'
import {
  inboxEnvelope,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  revocation,
  type TestInstallation,
} from './support.ts'

const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3

describe('how much room there is', () => {
  test.each<[Room, string, number, number | undefined, number | undefined]>([
    ['enough', 'nobody knows better', 10 * gibibyte, undefined, undefined],
    ['enough', 'a large disk', 500 * gibibyte, 2 * gibibyte, undefined],
    ['little', 'a large disk', 500 * gibibyte, 2 * gibibyte - 1, undefined],
    ['little', 'a large disk', 500 * gibibyte, 512 * mebibyte, undefined],
    ['none', 'a large disk', 500 * gibibyte, 512 * mebibyte - 1, undefined],
    ['enough', 'a small disk', 900 * mebibyte, 100 * mebibyte, undefined],
    ['little', 'a small disk', 901 * mebibyte, 99 * mebibyte, undefined],
    ['none', 'a small disk', 976 * mebibyte, 24 * mebibyte, undefined],
    ['enough', 'a limit', 90 * gibibyte, undefined, 100 * gibibyte],
    ['little', 'a limit', 99 * gibibyte, undefined, 100 * gibibyte],
    ['none', 'a limit', 100 * gibibyte, undefined, 100 * gibibyte],
    ['none', 'a limit that was lowered', 200 * gibibyte, 500 * gibibyte, 100 * gibibyte],
    ['little', 'a limit above what the disk has', 10 * gibibyte, gibibyte, 100 * gibibyte],
  ])('%s: %s, %d bytes used', (room, _, usedBytes, freeBytes, limitBytes) => {
    const occupancy = { usedBytes, ...(freeBytes !== undefined && { freeBytes }) }
    expect(roomFor(occupancy, limitBytes)).toBe(room)
  })
})

describe('a node', () => {
  let usedBytes: number
  let room: DataRoom
  let client: NodeClient
  let bob: TestInstallation
  const news: Room[] = []
  const metrics = createMetrics()

  const start = async (options: Partial<DataRoomOptions> = {}) => {
    usedBytes = 0
    room = new DataRoom({
      measure: async () => ({ usedBytes }),
      limitBytes: 100 * gibibyte,
      onChange: (now) => news.push(now),
      ...options,
    })
    const node = createInProcessNode({ room, observer: metrics.observer })
    client = nodeClient(node.transport)
    bob = await register(client, 'bob', (await client.getInfo({})).nodeNs)
  }
  const fill = async (bytes: number) => {
    usedBytes = bytes
    await room.look()
  }
  const mail = (name: string) => client.publish({ envelopes: [inboxEnvelope(bob, name)] })
  const grant = async (name: string) => register(client, name, (await client.getInfo({})).nodeNs)
  beforeEach(() => {
    news.length = 0
  })
  afterEach(() => room.close())

  test('with little room takes mail, and no new device', async () => {
    await start()
    await fill(99 * gibibyte)
    const refused = { code: 'unavailable', retryAfterMs: 600_000n }
    expect(await refusalOf(grant('carol'))).toMatchObject(refused)
    expect(await metrics.registry.metrics()).toContain('padlock_rate_limited_total{kind="data"} 1')
    expect((await mail('a')).receipts).toMatchObject([{ sequence: 1n }])
  })

  test('without room takes revocations only, and goes on once there is some', async () => {
    await start()
    await fill(100 * gibibyte)
    expect(await refusalOf(mail('a'))).toMatchObject({ code: 'unavailable' })
    await client.publish({ envelopes: [await revocation(bob.account, [bob])] })
    await fill(0)
    await grant('carol')
    expect(news).toEqual(['none', 'enough'])
  })

  test('refuses none of the callers that are exempt', async () => {
    await start({ exempt: () => true })
    await fill(100 * gibibyte)
    await mail('a')
    expect(room.room).toBe('none')
  })

  test('changes nothing while its store does not answer', async () => {
    let fails = false
    await start({
      measure: async () => {
        if (fails) throw new Error('away')
        return { usedBytes }
      },
    })
    await fill(100 * gibibyte)
    fails = true
    await fill(0)
    expect(room.room).toBe('none')
  })

  test('looks every ten seconds', async () => {
    vi.useFakeTimers()
    try {
      await start()
      usedBytes = 100 * gibibyte
      await vi.advanceTimersByTimeAsync(10_000)
      expect(room.room).toBe('none')
    } finally {
      vi.useRealTimers()
    }
  })
})
