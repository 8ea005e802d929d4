/**
 * News that a person must not miss: stored in the transaction that made it, and read by cursor by
 * whoever listens later. Events tell the same, but only to those who listen at that moment.
 */

import type { Fields, Row } from '../../store/store.ts'
import { type NewsRecord, put, remove, tables } from '../../store/tables.ts'
import type { Installation, News, NewsEvent } from '../model.ts'
import { type Change, commit } from './change.ts'
import type { Context } from './context.ts'
import { scanAll } from './scan-all.ts'

const maxKept = 1_000
const maxPage = 500

/** Stores news. Numbers ascend in the order of the transactions, so call this just before one. */
export const newsChange = (
  { store, platform }: Pick<Context, 'store' | 'platform'>,
  events: readonly NewsEvent[],
): Change => ({
  writes: events.map((event) => {
    const number = store.nextNumber(tables.news)
    return put(tables.news, number, {
      ...toRecord(event),
      atMs: BigInt(Math.trunc(platform.nowMs())),
    })
  }),
})

/** Keeps the newest 1,000. They are counted, as the numbers have gaps. */
export const forgetOldNews = async ({ store }: Pick<Context, 'store'>): Promise<void> => {
  const numbers: number[] = []
  for await (const { number } of scanAll(store, tables.news)) numbers.push(number)
  const old = numbers.slice(0, -maxKept)
  if (old.length === 0) return
  await commit(store, { writes: old.map((number) => remove(tables.news, number)) })
}

/** News after a cursor, oldest first. @param own the id of this client's installation */
export const readNews = async (
  { store }: Pick<Context, 'store'>,
  own: string,
  after: number,
  limit: number,
): Promise<readonly News[]> => {
  const { rows } = await store.scan(tables.news, { after, limit: Math.min(limit, maxPage) })
  return rows.flatMap((row) => toNews(row, own) ?? [])
}

const toRecord = (event: NewsEvent) => {
  switch (event.kind) {
    case 'restored':
      return { kind: event.kind, unopened: event.unopened }
    case 'node-accused': {
      const { kind, code, account, claimant } = event
      return { kind, code, account, ...recordOf(claimant) }
    }
    default:
      return { kind: event.kind, ...recordOf(event.installation) }
  }
}

const recordOf = ({ address, id, keys, createdAtMs, state }: Installation) => ({
  address,
  installationId: id,
  ...keys,
  createdMs: BigInt(createdAtMs),
  state,
})

/** Undefined for news of a later release. */
const toNews = ({ value, number }: Row<Fields<NewsRecord>>, own: string): News | undefined => {
  const event = toEvent(value, own)
  return event && { cursor: String(number), atMs: Number(value.atMs), event }
}

const toEvent = (record: Fields<NewsRecord>, own: string): NewsEvent | undefined => {
  const { kind, code, account, unopened } = record
  switch (kind) {
    case 'restored':
      return { kind, unopened }
    case 'node-accused':
      return code === 'node_withholding' || code === 'node_equivocating'
        ? { kind, code, account, claimant: installationOf(record, own) }
        : undefined
    case 'installation-added':
    case 'installation-revoked':
      return { kind, installation: installationOf(record, own) }
    default:
      return undefined
  }
}

const states = ['valid', 'pending', 'unverified', 'revoked'] as const

const installationOf = (record: Fields<NewsRecord>, own: string): Installation => {
  const { address, installationId: id, curve25519, ed25519, createdMs, state } = record
  return {
    id,
    address,
    isThis: id === own,
    keys: { curve25519, ed25519 },
    createdAtMs: Number(createdMs),
    state: states.find((one) => one === state) ?? 'unverified',
  }
}
