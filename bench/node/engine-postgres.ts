/**
 * PostgreSQL in a bare loop: one connection, prepared statements, the requested rows per statement.
 */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { TestInstallation } from '../../tests/node/support.ts'
import type { Engine } from './engine-interface.ts'
import { filledBytes, inboxCount, messageBytes, oneTimeKeys, replayEnvelopes } from './inboxes.ts'

const now = '(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint'

/** Bytes unique to each row, made by the server: 32 for each given number. */
const bytesOf = (...texts: readonly string[]): string =>
  texts.map((text) => `sha256(int8send(${text}))`).join(' || ')

const fillEnvelopes = `
INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
SELECT $1::bigint + n % ${inboxCount}, $2::bigint + n / ${inboxCount} + 1, $3::bigint + n * 1000,
  ${filledBytes}, ${bytesOf('n + $6::bigint')}, ${bytesOf('-n', '~n', 'n # 12345', '-n # 54321')}
FROM generate_series($4::bigint, $5::bigint) AS n`

/** Rows of VALUES with this many parameters each. */
const rowsOf = (count: number, types: readonly string[]): string => {
  const row = (nth: number): string =>
    `(${types.map((type, at) => `$${nth * types.length + at + 1}::${type}`).join(', ')})`
  return Array.from({ length: count }, (_, nth) => row(nth)).join(', ')
}

export async function openPostgresEngine(
  url: string,
  inboxes: readonly TestInstallation[],
): Promise<Engine> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const integer = async (text: string): Promise<number> => {
    const { rows } = await client.query<{ value: string | null }>(text)
    return Number(rows[0]?.value ?? 0)
  }
  /** The inboxes' topics have consecutive ids. */
  let firstTopic = 0
  /** Sequences as this loop continues them; it reads them first if others wrote to the inboxes. */
  let sequences: number[] = []
  let nextInbox = Math.floor(Math.random() * inboxCount)
  let nextPage = 0
  const message = randomBytes(messageBytes)

  const readSequences = async (): Promise<void> => {
    firstTopic = await integer(`SELECT id AS value FROM topic WHERE name = '${inboxes[0]?.inbox}'`)
    const { rows } = await client.query<{ sequence: string }>(
      'SELECT sequence FROM topic WHERE id >= $1 AND id < $2 ORDER BY id',
      [firstTopic, firstTopic + inboxCount],
    )
    sequences = rows.map(({ sequence }) => Number(sequence))
  }
  await readSequences()

  return {
    async prepare() {
      await client.query(
        `INSERT INTO topic (name, sequence, node_ns)
         SELECT name, 0, ${now} FROM unnest($1::text[]) WITH ORDINALITY AS new (name, place)
         ORDER BY place`,
        [inboxes.map(({ inbox }) => inbox)],
      )
      await readSequences()
      const ids = inboxes.map(({ id }) => id)
      await client.query(
        `INSERT INTO topic (name, sequence, node_ns)
         SELECT 'prekey-' || id, 0, ${now} FROM unnest($1::text[]) AS new (id)`,
        [ids],
      )
      await client.query(
        `INSERT INTO installation
         SELECT id, address, ed25519, false, 1, 1
         FROM unnest($1::text[], $2::text[], $3::bytea[]) AS new (id, address, ed25519)`,
        [
          ids,
          inboxes.map(({ account }) => account.address),
          inboxes.map(({ keys }) => Buffer.from(keys.ed25519)),
        ],
      )
      await client.query(
        `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
         SELECT id, n = 0, ${bytesOf('place * 100 + n')}, 1,
           ${bytesOf('place * 100 - n', 'n - place * 100')}, ${now}
         FROM unnest($1::text[]) WITH ORDINALITY AS new (id, place), generate_series(0, $2::int) AS n`,
        [ids, oneTimeKeys],
      )
      const replayed = firstTopic + inboxCount
      const parts = Array.from({ length: messageBytes / 32 }, (_, part) => `n * 64 + ${part}`)
      await client.query(
        `INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
         SELECT $1::bigint + n / ${replayEnvelopes}, n % ${replayEnvelopes} + 1, ${now},
           ${messageBytes}, ${bytesOf('n')}, ${bytesOf(...parts)}
         FROM generate_series(0::bigint, $2::bigint) AS n`,
        [replayed, (inboxes.length - inboxCount) * replayEnvelopes - 1],
      )
      await client.query('UPDATE topic SET sequence = $1 WHERE id >= $2 AND id < $3', [
        replayEnvelopes,
        replayed,
        replayed + inboxes.length - inboxCount,
      ])
      await client.query('VACUUM ANALYZE')
    },
    async fill(envelopes) {
      await readSequences()
      const before = Math.max(0, ...sequences)
      const salt = Date.now() * 1_000_000
      await client.query('SET synchronous_commit = off')
      const firstNs = (await integer(`SELECT ${now} AS value`)) - envelopes * 1_000
      const chunk = 100_000
      for (let from = 0; from < envelopes; from += chunk) {
        const to = Math.min(envelopes, from + chunk) - 1
        await client.query(fillEnvelopes, [firstTopic, before, firstNs, from, to, salt])
      }
      await client.query(
        `UPDATE topic SET sequence = $1, node_ns = ${now} WHERE id >= $2 AND id < $3`,
        [before + Math.ceil(envelopes / inboxCount), firstTopic, firstTopic + inboxCount],
      )
      await client.query('SET synchronous_commit = on')
      // Otherwise autovacuum would do this in the middle of a row.
      await client.query('VACUUM ANALYZE')
      await client.query('CHECKPOINT')
      await readSequences()
    },
    refresh: readSequences,
    async write(envelopes) {
      const nowNs = Date.now() * 1_000_000
      const values: unknown[] = []
      const changed = new Map<number, number>()
      for (let nth = 0; nth < envelopes; nth += 1) {
        nextInbox = (nextInbox + 1) % inboxCount
        const sequence = (sequences[nextInbox] ?? 0) + 1
        sequences[nextInbox] = sequence
        changed.set(firstTopic + nextInbox, sequence)
        const digest = randomBytes(32)
        values.push(firstTopic + nextInbox, sequence, nowNs, messageBytes, digest, message)
      }
      const types = ['bigint', 'bigint', 'bigint', 'integer', 'bytea', 'bytea']
      await client.query('BEGIN')
      await client.query({
        name: `insert ${envelopes}`,
        text: `INSERT INTO envelope VALUES ${rowsOf(envelopes, types)}`,
        values,
      })
      await client.query({
        name: 'forward',
        text: `UPDATE topic SET sequence = new.sequence, node_ns = $3
               FROM unnest($1::bigint[], $2::bigint[]) AS new (id, sequence)
               WHERE topic.id = new.id`,
        values: [[...changed.keys()], [...changed.values()], nowNs],
      })
      await client.query('COMMIT')
    },
    async read() {
      const pages = replayEnvelopes / 500
      nextPage = (nextPage + 1) % (pages * (inboxes.length - inboxCount))
      const { rows } = await client.query({
        name: 'page',
        text: `SELECT sequence, node_ns, message FROM envelope
               WHERE topic = $1 AND sequence > $2 ORDER BY sequence LIMIT 500`,
        values: [firstTopic + inboxCount + Math.floor(nextPage / pages), (nextPage % pages) * 500],
      })
      return rows.length
    },
    async claim(keys) {
      const ids = Array.from({ length: keys }, () => {
        nextInbox = (nextInbox + 1) % inboxCount
        return inboxes[nextInbox]?.id ?? ''
      })
      const { rowCount } = await client.query({
        name: 'claim',
        text: `WITH picked AS (
                 SELECT wanted.claim_id, key.* FROM unnest($1::bytea[], $2::text[]) AS wanted (claim_id, id)
                 CROSS JOIN LATERAL (SELECT * FROM prekey WHERE installation = wanted.id
                   AND NOT is_fallback ORDER BY prekey.id LIMIT 1) AS key),
               removed AS (DELETE FROM prekey USING picked WHERE prekey.id = picked.id)
               INSERT INTO claim SELECT claim_id, installation, is_fallback, curve25519, created_ns,
                 signature, ${now} FROM picked`,
        values: [ids.map(() => randomBytes(16)), ids],
      })
      if (rowCount !== keys) throw new Error('the stock is used up')
    },
    async close() {
      await client.end()
    },
  }
}
