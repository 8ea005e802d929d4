/**
 * Lets a revoked installation start over with new keys; its history stays (docs/protocol.md section
 * 9).
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import { deriveInstallationId } from '../../protocol/ids.ts'
import type { Read, Row, Store, Write } from '../../store/store.ts'
import { joinKey, type OutboxRecord, put, remove, tables } from '../../store/tables.ts'
import { scanAll } from '../runtime/scan-all.ts'

/** Records of one transaction. */
const maxAtOnce = 500

/**
 * Deletes this installation's keys if it was revoked, so that the next registration makes new ones.
 */
export const forgetIfRevoked = async (store: Store): Promise<void> => {
  const identity = (await store.get(tables.identity, 'identity'))?.value
  const id = identity && deriveInstallationId(identity)
  if (!identity || !id?.ok) return
  const own = await store.get(tables.installations, joinKey(identity.address, id.value))
  if (!own || own.value.revokedNs === 0n) return

  const drop = (writes: readonly Write[]) =>
    store.transaction([], () => ({ writes, result: undefined }))
  const sessions = (await store.all(tables.sessions)).map(({ value }) =>
    remove(tables.sessions, joinKey(value.installationId, encodeBase64Url(value.sessionId))),
  )
  const recovery = (await store.all(tables.recovery)).map(({ value }) =>
    remove(tables.recovery, value.installationId),
  )
  await inPieces([...sessions, ...recovery], drop)
  // Envelopes sealed to the old keys, and messages and requests pending under the old id.
  for (const table of [tables.parked, tables.owed]) {
    await inPieces(scanAll<unknown>(store, table), (rows) =>
      drop(rows.map(({ number }) => remove(table, number))),
    )
  }
  await inPieces(scanAll(store, tables.outbox), (rows) => giveUp(store, rows))
  // Last, so that what was interrupted goes on with the next opening.
  await drop([
    remove(tables.identity, 'identity'),
    remove(tables.sealing, 'sealing'),
    remove(tables.prekeys, 'prekeys'),
    remove(tables.claim, 'claim'),
    remove(tables.claim, 'claim of one'),
  ])
}

/** Message ids are derived from the old installation's id: these messages stay unsent. */
const giveUp = (store: Store, rows: readonly Row<OutboxRecord>[]): Promise<void> => {
  const ids = rows.map(({ value }) => value.messageId)
  const reads = ids.map((key): Read => ({ table: tables.messages, key }))
  return store.transaction(reads, (found) => ({
    writes: [
      ...rows.map(({ number }) => remove(tables.outbox, number)),
      ...ids.flatMap((key) => {
        const row = found.get(tables.messages, key)
        return row
          ? [put(tables.messages, key, { ...row.value, reason: 'revoked' }, row.number)]
          : []
      }),
    ],
    result: undefined,
  }))
}

/** One transaction after the other: a single one of everything would hold up all that reads. */
const inPieces = async <T>(
  items: Iterable<T> | AsyncIterable<T>,
  save: (piece: readonly T[]) => Promise<void>,
): Promise<void> => {
  let piece: T[] = []
  for await (const item of items) {
    piece.push(item)
    if (piece.length < maxAtOnce) continue
    await save(piece)
    piece = []
  }
  if (piece.length > 0) await save(piece)
}
