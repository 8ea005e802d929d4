/** Running numbers: a record stored under one is never overwritten by a later one. */
import { expect, test } from 'vitest'
import { openIdbStore } from '../../src/store/idb.ts'
import { tables } from '../../src/store/tables.ts'
import { freshDatabase, loadTestCrypto } from '../support/engine.ts'
import { outboxRow } from './support.ts'

const crypto = await loadTestCrypto()
const numbered = Object.entries(tables).filter(([, { keyKind }]) => keyKind === 'number')

test.each(numbered)(
  'the numbers of %s go on after the store was opened again',
  async (_, table) => {
    const database = freshDatabase()
    const open = () => openIdbStore(database, crypto, () => undefined)
    const first = await open()
    const number = first.nextNumber(table)
    const row = outboxRow(number)
    await first.transaction([], () => ({ writes: [{ ...row, table }], result: undefined }))
    await first.close()
    const again = await open()
    expect(again.nextNumber(table)).toBe(number + 1)
    await again.close()
  },
)
