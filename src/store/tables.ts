/**
 * The tables of the local database: what each holds, how its keys are stored, and how its records
 * are grouped (docs/architecture.md section 3).
 */

import {
  create,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import type { GenMessage } from '@bufbuild/protobuf/codegenv2'
import {
  AccountRecordSchema,
  ClaimRecordSchema,
  Consent,
  ConversationRecordSchema,
  CursorRecordSchema,
  IdentityRecordSchema,
  InstallationRecordSchema,
  MessageRecordSchema,
  NewsRecordSchema,
  OutboxRecordSchema,
  OwedRecordSchema,
  OwnRevocationRecordSchema,
  ParkedRecordSchema,
  PrekeySecretsRecordSchema,
  RecoveryRecordSchema,
  ReportsRecordSchema,
  RequestsRecordSchema,
  RequestTotalsRecordSchema,
  RevokedLatelyRecordSchema,
  SealingSecretsRecordSchema,
  SeenRecordSchema,
  SentRecordSchema,
  SessionRecordSchema,
  SetAsideRecordSchema,
  TimesRecordSchema,
  UnverifiedRecordSchema,
} from '../gen/padlock/store/v1/records_pb.ts'
import type { AnyTable, Key, KeyKind, StoreName, WritableTable, Write } from './store.ts'

export {
  type AccountRecord,
  Consent as StoredConsent,
  ConversationKind,
  type ConversationRecord,
  type CursorRecord,
  type InstallationRecord,
  type MessageRecord,
  MessageState,
  type NewsRecord,
  type OutboxRecord,
  type OutboxRow,
  type ParkedRecord,
  type RecoveryRecord,
  type SentRecord,
  type SessionRecord,
  type UnverifiedRecord,
} from '../gen/padlock/store/v1/records_pb.ts'

const define = <Shape extends Message>(
  store: StoreName,
  keyKind: KeyKind,
  schema: GenMessage<Shape>,
  listed: {
    group?: (value: MessageInitShape<GenMessage<Shape>>) => string | undefined
    order?: (value: MessageInitShape<GenMessage<Shape>>) => Uint8Array<ArrayBuffer>
    mayLose?: true
  } = {},
): WritableTable<MessageShape<GenMessage<Shape>>, MessageInitShape<GenMessage<Shape>>> => ({
  store,
  keyKind,
  mayLose: listed.mayLose === true,
  decode: (bytes) => fromBinary(schema, bytes),
  encode: (value, number) => ({
    bytes: toBinary(schema, create(schema, value)),
    group: listed.group?.(value),
    order: listed.order?.(value),
    number,
  }),
})

/** Pending messages come last. */
const pendingOrder = 0xffff_ffff_ffff_ffffn

/** A message's place in its conversation: node time, then time of composition; 16 bytes. */
export const messageOrder = (nodeNs: bigint, composedNs: bigint): Uint8Array<ArrayBuffer> => {
  const order = new Uint8Array(16)
  const view = new DataView(order.buffer)
  view.setBigUint64(0, nodeNs === 0n ? pendingOrder : nodeNs)
  view.setBigUint64(8, composedNs)
  return order
}

/** The place of a conversation among all: when it was last active. */
export const conversationOrder = (timeMs: bigint): Uint8Array<ArrayBuffer> => {
  const order = new Uint8Array(8)
  new DataView(order.buffer).setBigUint64(0, timeMs)
  return order
}

/** The groups of the conversations table: what the person said of the other account. */
export const conversationGroups: Readonly<Record<Consent, string>> = {
  [Consent.UNSPECIFIED]: 'unknown',
  [Consent.ALLOWED]: 'allowed',
  [Consent.DENIED]: 'denied',
}

export const tables = {
  /** Keys: identity. */
  identity: define('account', 'name', IdentityRecordSchema),
  sealing: define('account', 'name', SealingSecretsRecordSchema),
  prekeys: define('account', 'name', PrekeySecretsRecordSchema),
  times: define('account', 'name', TimesRecordSchema),
  /** Keys: claim, claim of one. */
  claim: define('account', 'name', ClaimRecordSchema),
  requests: define('account', 'name', RequestsRecordSchema),
  revokedLately: define('account', 'name', RevokedLatelyRecordSchema),
  requestTotals: define('account', 'name', RequestTotalsRecordSchema),
  reports: define('account', 'name', ReportsRecordSchema),
  /** Key: address, installation id. */
  installations: define('installations', 'hash', InstallationRecordSchema, {
    group: (record) => record.address ?? '',
  }),
  /** Key: installation id, session id. */
  sessions: define('sessions', 'hash', SessionRecordSchema, {
    group: (record) => record.installationId ?? '',
    mayLose: true,
  }),
  /** Key: conversation id; in the group of its consent, by last activity. */
  conversations: define('conversations', 'hash', ConversationRecordSchema, {
    group: (record) => conversationGroups[record.consent ?? Consent.UNSPECIFIED],
    order: (record) => conversationOrder(record.lastMessageMs || record.createdMs || 0n),
    mayLose: true,
  }),
  /** Key: message id; running number: arrival. A deleted one is in no group. */
  messages: define('messages', 'hash', MessageRecordSchema, {
    group: (record) => (record.deleted ? undefined : (record.conversationId ?? '')),
    order: (record) => messageOrder(record.nodeNs ?? 0n, record.composedNs ?? 0n),
    mayLose: true,
  }),
  /** Key: address. */
  accounts: define('accounts', 'hash', AccountRecordSchema),
  outbox: define('outbox', 'number', OutboxRecordSchema, { mayLose: true }),
  /** Key: node id, topic. */
  cursors: define('cursors', 'hash', CursorRecordSchema, { mayLose: true }),
  seen: define('seen', 'number', SeenRecordSchema, { mayLose: true }),
  parked: define('parked', 'number', ParkedRecordSchema, { mayLose: true }),
  setAside: define('setAside', 'number', SetAsideRecordSchema, { mayLose: true }),
  sent: define('sent', 'number', SentRecordSchema, { mayLose: true }),
  /** Of this account. */
  revocations: define('revocations', 'number', OwnRevocationRecordSchema),
  /** Of contract accounts, until their chain confirms them. */
  unverified: define('unverified', 'number', UnverifiedRecordSchema),
  owed: define('owed', 'number', OwedRecordSchema, { mayLose: true }),
  news: define('news', 'number', NewsRecordSchema, { mayLose: true }),
  /** Key: installation id. */
  recovery: define('recovery', 'hash', RecoveryRecordSchema, { mayLose: true }),
} as const

/** Writes a record and replaces any that was there. */
export const put = <Value, Init>(
  table: WritableTable<Value, Init>,
  key: Key,
  value: Init,
  number?: number,
): Write => ({ kind: 'put', table, key, record: table.encode(value, number) })

/** Writes a record that must be new; if it is not, the step runs again. */
export const add = <Value, Init>(
  table: WritableTable<Value, Init>,
  key: Key,
  value: Init,
  number?: number,
): Write => ({ kind: 'add', table, key, record: table.encode(value, number) })

export const remove = (table: AnyTable, key: Key): Write => ({ kind: 'delete', table, key })

/** A key made of several parts; no part may contain a space. */
export const joinKey = (...parts: readonly string[]): string => parts.join(' ')
