/**
 * Lets a revoked installation start over with new keys; its history stays (docs/protocol.md section
 * 9).
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import { deriveInstallationId } from '../../protocol/ids.ts'
import type { Read, Store, Write } from '../../store/store.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'
import { scanAll } from '../runtime/scan-all.ts'

/**
 * Deletes this installation's keys if it was revoked, so that the next registration makes new ones.
 */
export const forgetIfRevoked = async (store: Store): Promise<void> => {
  const identity = (await store.get(tables.identity, 'identity'))?.value
  const id = identity && deriveInstallationId(identity)
  if (!identity || !id?.ok) return
  const own = await store.get(tables.installations, joinKey(identity.address, id.value))
  if (!own || own.value.revokedNs === 0n) return

  const writes: Write[] = [
    remove(tables.identity, 'identity'),
    remove(tables.sealing, 'sealing'),
    remove(tables.prekeys, 'prekeys'),
    remove(tables.claim, 'claim'),
    remove(tables.claim, 'claim of one'),
  ]
  for (const { value } of await store.all(tables.sessions)) {
    const key = joinKey(value.installationId, encodeBase64Url(value.sessionId))
    writes.push(remove(tables.sessions, key))
  }
  // Envelopes sealed to the old keys, and messages and requests pending under the old id.
  for await (const { number } of scanAll(store, tables.parked)) {
    writes.push(remove(tables.parked, number))
  }
  for await (const { number } of scanAll(store, tables.owed)) {
    writes.push(remove(tables.owed, number))
  }
  for (const { value } of await store.all(tables.recovery)) {
    writes.push(remove(tables.recovery, value.installationId))
  }
  const messageIds: string[] = []
  for await (const { number, value } of scanAll(store, tables.outbox)) {
    writes.push(remove(tables.outbox, number))
    messageIds.push(value.messageId)
  }
  const reads = messageIds.map((key): Read => ({ table: tables.messages, key }))
  await store.transaction(reads, (rows) => ({
    writes: [
      ...writes,
      // Message ids are derived from the old installation's id: these messages stay unsent.
      ...messageIds.flatMap((key) => {
        const row = rows.get(tables.messages, key)
        return row
          ? [put(tables.messages, key, { ...row.value, reason: 'revoked' }, row.number)]
          : []
      }),
    ],
    result: undefined,
  }))
}
