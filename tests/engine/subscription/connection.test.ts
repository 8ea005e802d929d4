/** Connecting again: docs/protocol.md section 5. */

import { test } from 'vitest'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  until,
  untilState,
} from '../../support/engine.ts'
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
      onOnline: (listener) => {
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
