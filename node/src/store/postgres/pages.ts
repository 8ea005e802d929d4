/**
 * Pages over many topics in (`node_ns`, topic, sequence) order, with one index probe for each topic
 * that has nothing new.
 */
import type pg from 'pg'
import { bytesOf, integerOf, type Row, textOf } from '../rows.ts'
import type { Cursor, Page, PageLimit } from '../store.ts'
import { runStatement } from './session.ts'

const candidatesOf = `
SELECT topic.name, topic.id, next.sequence, next.node_ns, next.size::bigint AS size
FROM unnest($1::text[], $2::bigint[]) AS cursor (name, after)
JOIN topic ON topic.name = cursor.name AND topic.sequence > cursor.after
CROSS JOIN LATERAL (
  SELECT sequence, node_ns, size FROM envelope
  WHERE envelope.topic = topic.id AND sequence > cursor.after ORDER BY sequence LIMIT $3
) AS next
ORDER BY next.node_ns, topic.name, next.sequence`

/** How many envelopes of each topic are read first; more are read if that is not enough. */
const firstShare = 8

export async function readPage(
  pool: pg.Pool,
  cursors: readonly Cursor[],
  limit: PageLimit,
): Promise<Page> {
  const { chosen, hasMore } = await choose(pool, cursors, limit)
  const messages = await readMessages(pool, chosen)
  const envelopes = chosen.flatMap((row) => {
    const topic = textOf(row, 'name')
    const sequence = integerOf(row, 'sequence')
    const message = messages.get(`${topic} ${sequence}`)
    // Retention may have dropped it since.
    return message === undefined
      ? []
      : [{ topic, sequence, nodeNs: integerOf(row, 'node_ns'), message }]
  })
  return { envelopes, hasMore }
}

/** The next envelopes, without their messages. */
async function choose(pool: pg.Pool, cursors: readonly Cursor[], limit: PageLimit) {
  const names = cursors.map(({ topic }) => topic)
  const after = cursors.map(({ afterSequence }) => afterSequence)
  const most = limit.envelopes + 1
  for (let share = Math.min(most, firstShare); ; share = Math.min(most, share * 8)) {
    const rows = await runStatement(pool, candidatesOf, [names, after, share])
    const certain = certainOf(rows, share)
    const page = cut(certain.rows, limit)
    // With `most` of a topic read, more than a page is certain.
    if (certain.areAll || page.hasMore || share === most) return page
  }
}

/**
 * The rows that no unread row can precede: those up to the last row of the first topic that may have
 * more.
 */
function certainOf(rows: readonly Row[], share: number) {
  const counts = new Map<string, number>()
  for (const [at, row] of rows.entries()) {
    const name = textOf(row, 'name')
    const count = (counts.get(name) ?? 0) + 1
    if (count === share) return { rows: rows.slice(0, at + 1), areAll: false }
    counts.set(name, count)
  }
  return { rows, areAll: true }
}

function cut(rows: readonly Row[], limit: PageLimit) {
  const chosen: Row[] = []
  let bytes = 0
  for (const row of rows) {
    bytes += Number(integerOf(row, 'size'))
    const isFull = chosen.length === limit.envelopes || bytes > limit.bytes
    if (chosen.length > 0 && isFull) return { chosen, hasMore: true }
    chosen.push(row)
  }
  return { chosen, hasMore: false }
}

async function readMessages(
  pool: pg.Pool,
  chosen: readonly Row[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  if (chosen.length === 0) return new Map()
  const rows = await runStatement(
    pool,
    `SELECT asked.name, envelope.sequence, message
     FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (name, id, sequence)
     JOIN envelope ON envelope.topic = asked.id AND envelope.sequence = asked.sequence
     WHERE message IS NOT NULL`,
    [
      chosen.map((row) => textOf(row, 'name')),
      chosen.map((row) => integerOf(row, 'id')),
      chosen.map((row) => integerOf(row, 'sequence')),
    ],
  )
  return new Map(
    rows.map((row) => [
      `${textOf(row, 'name')} ${integerOf(row, 'sequence')}`,
      Uint8Array.from(bytesOf(row, 'message')),
    ]),
  )
}
