/** Connecting again: docs/protocol.md section 5. */

import { expect, onTestFinished, test, vi } from 'vitest'
import { deferred } from '../../../src/async.ts'
import { Cursors } from '../../../src/engine/runtime/cursors.ts'
import {
  Connection,
  type ConnectionListener,
  type ConnectionParts,
} from '../../../src/engine/subscription/connection.ts'
import { Streams } from '../../../src/engine/subscription/streams.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { anAddress, aPartWorld } from '../../support/engine-context.ts'
import { Line, unreachable } from '../../support/line.ts'

test('a device that comes online is connected at once, however long the wait would have been', async () => {
  const world = await anEngineWorld()
  const line = new Line()
  let comeOnline: () => void = () => undefined
  const atAlice = await world.open({
    account: anAccount(),
    database: freshDatabase(),
    network: line.network,
    platform: {
      onReturn: (listener) => {
        comeOnline = listener
        return () => undefined
      },
    },
  })
  await untilState(atAlice, 'live')
  // The longest wait that a node may ask for.
  line.failure = unreachable(300_000)
  line.cut()
  await untilState(atAlice, 'offline')
  line.failure = undefined
  await until(() => countOf(atAlice, 'network_unavailable') > 0)
  comeOnline()
  await untilState(atAlice, 'live')
})

test('a line that died in silence is replaced when the device returns: what waited at either end comes through', async () => {
  const world = await anEngineWorld()
  const line = new Line()
  let comeBack: () => void = () => undefined
  const alice = anAccount()
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
    platform: {
      onReturn: (listener) => {
        comeBack = listener
        return () => undefined
      },
    },
  })
  const atBob = await world.open({ account: anAccount(), database: freshDatabase() })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const toBob = await atAlice.engine.conversation(atBob.engine.address)
  await atAlice.engine.send(toBob.id, 'before')
  const fromAlice = await atBob.engine.conversation(alice.address)
  await untilTexts(atBob, fromAlice.id, 1)
  // From now on nothing comes over the stream that is open, and nothing goes out for five minutes.
  const dead = deferred()
  onTestFinished(() => dead.resolve())
  line.gate = () => dead.promise
  line.refusal = unreachable(300_000)
  await atBob.engine.send(fromAlice.id, 'from bob')
  await atAlice.engine.send(toBob.id, 'from alice')
  await until(() => countOf(atAlice, 'network_unavailable') > 0)
  line.gate = () => Promise.resolve()
  line.refusal = undefined
  expect(atAlice.engine.status.state).toBe('live')
  comeBack()
  expect(await untilTexts(atAlice, toBob.id, 3)).toEqual(['before', 'from alice', 'from bob'])
  expect(await untilTexts(atBob, fromAlice.id, 3)).toEqual(['before', 'from bob', 'from alice'])
})

const unusedListener: Omit<ConnectionListener, 'peers'> = {
  onNode: async () => undefined,
  onCaughtUp: async () => undefined,
  onLive: () => undefined,
  onDown: () => undefined,
  onStock: () => undefined,
}

test('many accounts that are wanted at once are looked up in one list of peers, and none is missed', async () => {
  const { context, store } = await aPartWorld()
  const peers = new Set<Address>()
  let lists = 0
  let listing = deferred()
  const streams = { carries: () => false, extend: vi.fn() }
  const connection = new Connection(context, { cursors: new Cursors(store) } as ConnectionParts, {
    peers: async () => {
      lists += 1
      const now = new Set(peers)
      await listing.promise
      return now
    },
    ...unusedListener,
  })
  vi.spyOn(Streams.prototype, 'carries').mockImplementation(streams.carries)
  vi.spyOn(Streams.prototype, 'extend').mockImplementation(streams.extend)
  const first = connection.want(anAddress())
  // Its conversation is stored only after the first list was read.
  const late = anAddress()
  peers.add(late)
  const others = Array.from({ length: 200 }, () => connection.want(anAddress()))
  const last = connection.want(late)
  listing.resolve()
  await Promise.all([first, ...others, last])
  expect(lists).toBe(2)
  expect(streams.extend).toHaveBeenCalledTimes(1)
  // Afterwards it looks again.
  listing = deferred()
  listing.resolve()
  await connection.want(anAddress())
  expect(lists).toBe(3)
})
