/** A database of the first schema is brought up to date in place. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { SqliteDatabase } from '../../node/src/store/sqlite/database.ts'
import { schemaSteps } from '../../node/src/store/sqlite/schema.ts'
import { TestInstallation, testAccount } from './support.ts'

test('accounts of the first schema keep their signers: a key is a key, and a chain stays the chain', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-migration-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'node.db')
  const [keyed, contract] = ['keyed', 'contract'].map((name) => testAccount(`${name} before`))
  if (!keyed || !contract) throw new Error('two')
  const before = new DatabaseSync(file)
  before.exec(`${schemaSteps[0]}; PRAGMA user_version = 1`)
  const insert = before.prepare('INSERT INTO account (address, chain_id) VALUES (?, ?)')
  insert.run(keyed.address, null)
  insert.run(contract.address, '1')
  before.close()

  const database = new SqliteDatabase({ file, chainIds: [1n] })
  onTestFinished(() => database.close())
  const nowNs = 1_800_000_000_000_000_000n
  const outcomeOf = (status: 'valid' | 'delegated', owner: typeof keyed, name: string) => {
    const envelopes = [new TestInstallation(owner, name).contractBundle(nowNs)]
    const statuses = new Map([[0, status]])
    const [outcome] = database.run([{ kind: 'publish', envelopes, statuses }], nowNs)
    return outcome?.kind === 'refused' ? outcome.code : outcome?.kind
  }
  expect(outcomeOf('valid', keyed, 'one')).toBe('wrong_signature_kind')
  expect(outcomeOf('delegated', keyed, 'one')).toBe('published')
  expect(outcomeOf('valid', contract, 'two')).toBe('published')
})
