/** What waits to be published: one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { OutboxEntry } from '../../../src/engine/sending/outbox-entry.ts'
import { OutboxQueue } from '../../../src/engine/sending/outbox-queue.ts'
import { aPartWorld } from '../../support/engine-context.ts'

const mib = 1024 * 1024

const anEntry = (number: number, messageId: string, bytes: number): OutboxEntry => ({
  number,
  record: {
    messageId,
    conversationId: 'c',
    composedNs: 1n,
    rows: [
      {
        $typeName: 'padlock.store.v1.OutboxRow',
        topic: 't',
        message: new Uint8Array(bytes),
        address: 'a',
        nodeNs: 0n,
      },
    ],
    sealed: true,
    sealedMs: 1n,
  },
})

test('it is crowded by 4 MiB that no person wrote, and says once that there is room again', async () => {
  const { context, store } = await aPartWorld()
  let rooms = 0
  const queue = new OutboxQueue(store, context.platform, {
    onReady: () => undefined,
    onRoom: () => {
      rooms += 1
    },
  })
  const written = anEntry(1, 'a message', 20 * mib)
  const internal = [2, 3, 4].map((number) => anEntry(number, '', 2 * mib))
  await commit(store, queue.entriesChange([written, ...internal.slice(0, 2)]))
  expect(queue.isCrowded).toBe(false)
  await commit(store, queue.entriesChange(internal))
  expect(queue.isCrowded).toBe(true)
  await commit(store, queue.removalChange([written]))
  expect(rooms).toBe(0)
  for (const entry of internal) await commit(store, queue.removalChange([entry]))
  expect(queue.isCrowded).toBe(false)
  expect(rooms).toBe(1)
})
