/** Running numbers: none is used twice, so that no cursor and no record ever means another one. */
import { expect, test } from 'vitest'
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { put, remove, tables } from '../../src/store/tables.ts'
import { freshDatabase, loadTestCrypto } from '../support/engine.ts'
import { message, outboxRow, write } from './support.ts'

const crypto = await loadTestCrypto()
const numbered = Object.entries(tables).filter(([, { keyKind }]) => keyKind === 'number')

const open = (database: string): Promise<Store> => openIdbStore(database, crypto, () => undefined)

test.each(numbered)(
  'the numbers of %s go on after the store was opened again',
  async (_, table) => {
    const database = freshDatabase()
    const first = await open(database)
    const number = first.nextNumber(table)
    await write(first, { ...outboxRow(number), table })
    await first.close()
    const again = await open(database)
    expect(again.nextNumber(table)).toBeGreaterThan(number)
    await again.close()
  },
)

test.each(numbered)(
  'a number of %s is not used again after its record was deleted',
  async (_, table) => {
    const database = freshDatabase()
    const first = await open(database)
    const number = first.nextNumber(table)
    await write(first, { ...outboxRow(number), table })
    await write(first, { ...remove(tables.outbox, number), table })
    await first.close()
    const again = await open(database)
    expect(again.nextNumber(table)).toBeGreaterThan(number)
    await again.close()
  },
)

test('the number of a deleted message is not used again: a stream goes on with the next one', async () => {
  const database = freshDatabase()
  const first = await open(database)
  await write(first, message(first, 'kept', 'c', 1n))
  await write(first, message(first, 'deleted', 'c', 2n))
  const { lastNumber } = await first.scan(tables.messages, { after: 0, limit: 5 })
  await write(first, remove(tables.messages, 'deleted'))
  await first.close()
  const again = await open(database)
  await write(again, message(again, 'new', 'c', 3n))
  const page = await again.scan(tables.messages, { after: lastNumber, limit: 5 })
  expect(page.rows).toMatchObject([{ value: { messageId: 'new' } }])
  await again.close()
})

test('numbers go on above the greatest that is there, wherever it came from', async () => {
  const database = freshDatabase()
  const first = await open(database)
  const far = 2 ** 40
  await write(first, put(tables.outbox, far, { messageId: 'of a long life' }))
  await first.close()
  const again = await open(database)
  expect(again.nextNumber(tables.outbox)).toBe(far + 1)
  await again.close()
})
