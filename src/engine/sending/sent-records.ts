/**
 * Records which envelope was sent to whom, by digest, for two weeks: a recipient that cannot
 * decrypt an envelope requests it by its digest (docs/protocol.md section 10).
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import type { InstallationId } from '../../protocol/ids.ts'
import { redeliveryMs } from '../../protocol/limits.ts'
import type { Store, Write } from '../../store/store.ts'
import { put, remove, type SentRecord, tables } from '../../store/tables.ts'
import { commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { scanAll } from '../runtime/scan-all.ts'
import type { FanoutRow } from './fanout.ts'

/** How often one envelope is sent again (section 10). */
const maxAnswers = 2

/** Envelopes that were sent together, some of which are requested again. */
export interface SentBatch {
  readonly number: number
  readonly record: SentRecord
  readonly asked: readonly { readonly digest: Uint8Array; readonly messageId: string }[]
}

/** A message and the envelopes that carry it. */
export interface SentMessage {
  readonly messageId: string
  readonly rows: readonly FanoutRow[]
}

export const sentWrite = ({ store, time }: Context, messages: readonly SentMessage[]): Write =>
  put(tables.sent, store.nextNumber(tables.sent), {
    sentMs: BigInt(time.stampMs()),
    envelopes: messages.flatMap(({ messageId, rows }) =>
      rows.map(({ digest, recipient }) => ({
        digest,
        installationId: recipient,
        messageId,
        answers: 0,
      })),
    ),
  })

/** What was sent to this installation under these digests, and may be sent again. */
export const findSent = async (
  { store, time }: Context,
  to: InstallationId,
  digests: readonly Uint8Array[],
): Promise<readonly SentBatch[]> => {
  const wanted = new Set(digests.map(encodeBase64Url))
  const oldestMs = BigInt(time.passedMs() - redeliveryMs)
  const found: SentBatch[] = []
  for await (const { number, value } of scanAll(store, tables.sent)) {
    if (wanted.size === 0) break
    if (value.sentMs < oldestMs) continue
    const asked = value.envelopes.filter(
      ({ digest, installationId, answers }) =>
        wanted.delete(encodeBase64Url(digest)) && installationId === to && answers < maxAnswers,
    )
    if (asked.length > 0) found.push({ number, record: value, asked })
  }
  return found
}

/** Counts that the requested envelopes are sent again. */
export const answeredWrite = ({ number, record, asked }: SentBatch): Write => {
  const digests = new Set(asked.map(({ digest }) => encodeBase64Url(digest)))
  return put(tables.sent, number, {
    ...record,
    envelopes: record.envelopes.map((one) =>
      digests.has(encodeBase64Url(one.digest)) ? { ...one, answers: one.answers + 1 } : one,
    ),
  })
}

/** The ids of the messages that were sent to an installation. */
export const messagesSentTo = async (
  store: Store,
  to: InstallationId,
): Promise<ReadonlySet<string>> => {
  const ids = new Set<string>()
  for await (const { value } of scanAll(store, tables.sent)) {
    for (const { installationId, messageId } of value.envelopes) {
      if (installationId === to) ids.add(messageId)
    }
  }
  return ids
}

/**
 * Deletes records that are too old to be answered from. Records that a wrong clock dated ahead get the
 * time of now: they would stay until then, and all that follow them too.
 */
export const forgetOldSent = async ({ store, time }: Context): Promise<void> => {
  const oldestMs = BigInt(time.passedMs() - redeliveryMs)
  const nowMs = BigInt(time.stampMs())
  for (let after = 0; ; ) {
    const { rows, lastNumber } = await store.scan(tables.sent, { after, limit: 500 })
    const old = rows.filter(({ value }) => value.sentMs < oldestMs)
    const ahead = rows.filter(({ value }) => time.isStartAhead(Number(value.sentMs)))
    if (old.length === 0 && ahead.length === 0) return
    const dated = ahead.map(({ number }) =>
      recordUpdate(tables.sent, number, (value) => ({ ...value, sentMs: nowMs })),
    )
    const removal = { writes: old.map(({ number }) => remove(tables.sent, number)) }
    await commit(store, joinChanges(removal, ...dated))
    after = lastNumber
  }
}
