/** How a client proves whose inbox it is: docs/protocol.md sections 1 and 5. */

import { expect, test } from 'vitest'
import { parseInboxProof } from '../../../src/protocol/inbox-proof.ts'
import { minuteMs } from '../../../src/protocol/limits.ts'
import { passed } from '../../support/checked.ts'
import { anAccount, freshDatabase, untilState } from '../../support/engine.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

test('section 1: the proof of an inbox lives for five minutes of node time, whatever our own clock says', async () => {
  const { world, clocks } = await aTurnedWorld()
  clocks.nowMs += 3_600_000
  const proofs: Uint8Array[] = []
  const one = await world.open({
    account: anAccount(),
    database: freshDatabase(),
    platform: clocks.platform,
    network: (real) => ({
      ...real,
      subscribe: (topics, proof, signal) => {
        proofs.push(proof)
        return real.subscribe(topics, proof, signal)
      },
    }),
  })
  await untilState(one, 'live')
  const [proof] = proofs
  if (!proof) throw new Error('no proof')
  expect(passed(parseInboxProof(proof)).expiresNs).toBe(
    BigInt(clocks.nodeMs + 5 * minuteMs) * 1_000_000n,
  )
})
