/** SQLite in a bare loop, with the embedded store's pragmas. */
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import type { TestInstallation } from '../../tests/node/support.ts'
import type { Engine } from './engine-interface.ts'
import { filledBytes, inboxCount, messageBytes, oneTimeKeys, replayEnvelopes } from './inboxes.ts'

const insertEnvelope = `
INSERT INTO envelope (topic, sequence, node_ns, size, digest, message) VALUES (?, ?, ?, ?, ?, ?)`

/** Envelopes that one statement fills in: node times a microsecond apart, the last one now. */
const fillEnvelopes = `
WITH RECURSIVE step (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM step WHERE n + 1 < ?2)
INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
SELECT 1 + n % ${inboxCount}, ?4 + n / ${inboxCount} + 1, ?3 + n * 1000, ${filledBytes},
  randomblob(32), randomblob(${filledBytes}) FROM step`

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n

export function openSqliteEngine(file: string, inboxes: readonly TestInstallation[]): Engine {
  const database = new DatabaseSync(file)
  database.exec('PRAGMA locking_mode = EXCLUSIVE')
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = FULL')
  database.exec('PRAGMA cache_size = -65536')
  const insert = database.prepare(insertEnvelope)
  const forward = database.prepare(
    'UPDATE topic SET sequence = sequence + 1, node_ns = ? WHERE id = ? RETURNING sequence',
  )
  const page = database.prepare(
    `SELECT sequence, node_ns, message FROM envelope
     WHERE topic = ? AND sequence > ? ORDER BY sequence LIMIT 500`,
  )
  const pick = database.prepare(
    `SELECT id, is_fallback, curve25519, created_ns, signature FROM prekey
     WHERE installation = ? AND is_fallback = 0 ORDER BY id LIMIT 1`,
  )
  for (const statement of [page, pick]) statement.setReadBigInts(true)
  const remove = database.prepare('DELETE FROM prekey WHERE id = ?')
  const remember = database.prepare('INSERT INTO claim VALUES (?, ?, 0, ?, ?, ?, ?)')
  let nextInbox = Math.floor(Math.random() * inboxCount)
  let nextPage = 0

  const transaction = (step: () => void): void => {
    database.exec('BEGIN IMMEDIATE')
    step()
    database.exec('COMMIT')
  }
  const message = randomBytes(messageBytes)

  return {
    async prepare() {
      transaction(() => {
        const now = nowNs()
        const topic = database.prepare('INSERT INTO topic VALUES (?, ?, 0, ?)')
        const installation = database.prepare('INSERT INTO installation VALUES (?, ?, ?, 0, 1, 1)')
        const prekey = database.prepare(
          `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
           VALUES (?, ?, ?, 1, ?, ?)`,
        )
        for (const [index, one] of inboxes.entries()) {
          topic.run(index + 1, one.inbox, now)
          installation.run(one.id, one.account.address, one.keys.ed25519)
        }
        for (const one of inboxes) {
          topic.run(null, `prekey-${one.id}`, now)
          for (let nth = 0; nth <= oneTimeKeys; nth += 1) {
            const isFallback = nth === 0 ? 1 : 0
            prekey.run(one.id, isFallback, randomBytes(32), randomBytes(64), now)
          }
        }
        for (let topicId = inboxCount + 1; topicId <= inboxes.length; topicId += 1) {
          for (let sequence = 1; sequence <= replayEnvelopes; sequence += 1) {
            const bytes = randomBytes(messageBytes)
            insert.run(topicId, sequence, now, messageBytes, randomBytes(32), bytes)
          }
        }
        const set = database.prepare('UPDATE topic SET sequence = ? WHERE id > ? AND id <= ?')
        set.run(replayEnvelopes, inboxCount, inboxes.length)
      })
    },
    async fill(envelopes) {
      // Losing this would not matter, and pages are written only once.
      database.exec('PRAGMA synchronous = OFF')
      database.exec('PRAGMA cache_size = -3000000')
      const firstNs = nowNs() - BigInt(envelopes) * 1_000n
      // Above every topic's number: they got different numbers of envelopes.
      const row = database
        .prepare('SELECT MAX(sequence) AS sequence FROM topic WHERE id <= ?')
        .get(inboxCount)
      const before = Number(row?.sequence ?? 0)
      const statement = database.prepare(fillEnvelopes)
      const chunk = 100_000
      for (let from = 0; from < envelopes; from += chunk) {
        const to = Math.min(envelopes, from + chunk)
        transaction(() => statement.run(BigInt(from), BigInt(to), firstNs, BigInt(before)))
      }
      // Every next number is above the topic's last, even if the last round was not complete.
      database
        .prepare('UPDATE topic SET sequence = ?, node_ns = ? WHERE id <= ?')
        .run(before + Math.ceil(envelopes / inboxCount), nowNs(), inboxCount)
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      database.exec('PRAGMA cache_size = -65536')
      database.exec('PRAGMA synchronous = FULL')
    },
    // Sequences are read as they are used.
    async refresh() {},
    async write(envelopes) {
      transaction(() => {
        const now = nowNs()
        for (let nth = 0; nth < envelopes; nth += 1) {
          nextInbox = (nextInbox + 1) % inboxCount
          const topicId = nextInbox + 1
          const sequence = forward.get(now, topicId)?.sequence ?? 0
          insert.run(topicId, sequence, now, messageBytes, randomBytes(32), message)
        }
      })
    },
    async read() {
      const pages = replayEnvelopes / 500
      nextPage = (nextPage + 1) % (pages * (inboxes.length - inboxCount))
      const topicId = inboxCount + 1 + Math.floor(nextPage / pages)
      return page.all(topicId, (nextPage % pages) * 500).length
    },
    async claim(keys) {
      transaction(() => {
        const now = nowNs()
        for (let nth = 0; nth < keys; nth += 1) {
          nextInbox = (nextInbox + 1) % inboxCount
          const id = inboxes[nextInbox]?.id ?? ''
          const row = pick.get(id)
          if (row === undefined) throw new Error('the stock is used up')
          remove.run(row.id ?? null)
          remember.run(
            randomBytes(16),
            id,
            row.curve25519 ?? null,
            row.created_ns ?? null,
            row.signature ?? null,
            now,
          )
        }
      })
    },
    async close() {
      database.close()
    },
  }
}
