/** docs/protocol.md sections 5 and 11: what a client asks of a node, and how it proves whose inbox it is. */

import { expect, test } from 'vitest'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { parseInboxProof } from '../../../src/protocol/inbox-proof.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { anAccount, freshDatabase, untilState } from '../../support/engine.ts'
import { addressOf, aLine, aTurnedWorld, minuteMs, must } from '../../support/turned-world.ts'

test('section 1: the proof of an inbox lives for five minutes of node time, whatever the own clock says', async () => {
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
  expect(must(parseInboxProof(proof)).expiresNs).toBe(
    BigInt(clocks.nodeMs + 5 * minuteMs) * 1_000_000n,
  )
})

test('section 11: a client covers the newest 400 peers, within 1,000 topics', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  const peers = Array.from({ length: 401 }, (_, n) => `0x${(n + 1).toString(16).padStart(40, '0')}`)
  const store = await world.openStore(database)
  await store.transaction([], () => ({
    writes: peers.map((peer, n) => {
      const id = buildConversationId(addressOf(account), addressOf({ address: peer }))
      const lastMessageMs = BigInt(clocks.nowMs + n)
      return put(tables.conversations, id, {
        conversationId: id,
        peer,
        createdMs: lastMessageMs,
        lastMessageMs,
      })
    }),
    result: undefined,
  }))
  store.close()
  const line = aLine()
  const again = await world.open({ account, database, platform, network: line.network })
  await untilState(again, 'live')
  const covered = [addressOf(account), ...peers.slice(1)]
  const topics = [
    `message-${again.engine.installationId}`,
    `prekey-${again.engine.installationId}`,
    ...covered.flatMap((address) => [`contact-${address}`, `revoked-${address}`]),
  ]
  expect([...(line.subscribed[0] ?? [])].sort()).toEqual(topics.sort())
  expect(topics).toHaveLength(804)
})
