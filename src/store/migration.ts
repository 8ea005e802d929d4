/**
 * Brings the records of an older release up to date, page by page, in place: version 1 did not bind a
 * record to its group, order and running number, and release 0.1 knew no consent. A page is one
 * transaction, and a record that is done is recognised, so a migration that was interrupted goes on
 * from the start and does nothing twice. A released step does not change.
 */

import { fromBinary } from '@bufbuild/protobuf'
import {
  AccountRecordSchema,
  ConversationRecordSchema,
  MessageRecordSchema,
} from '../gen/padlock/store/v1/records_pb.ts'
import { withPatience } from './patience.ts'
import { collect } from './reading.ts'
import { type Found, type PhysicalKey, type RecordVault, recordVersion } from './record-vault.ts'
import type { Database, SealedRecord } from './schema.ts'
import { type Fields, type StoreName, storeNames, type Write } from './store.ts'
import { type ConversationRecord, MessageState, put, StoredConsent, tables } from './tables.ts'

const pageRecords = 500

/** What is in a conversation, by which its consent is derived. */
interface Content {
  readonly messages: number
  readonly ofOthers: number
  readonly bytesOfOthers: number
  readonly isAnswered: boolean
}

/** A record as it lies there, opened. */
interface Opened {
  readonly key: PhysicalKey
  readonly record: SealedRecord
  readonly bytes: Uint8Array
  readonly isCurrent: boolean
}

interface Sealed {
  readonly store: StoreName
  readonly key: PhysicalKey
  readonly record: SealedRecord
}

/** Makes all records those of this release. @throws PadlockError storage_*, and what IndexedDB throws */
export const migrateRecords = async (database: Database, vault: RecordVault): Promise<void> => {
  if ((await database.get('meta', 'records')) === recordVersion) return
  const contents = new Map<string, Content>()
  // The conversations last, as the messages say what is in them.
  for (const store of storeNames) {
    if (store === 'conversations') continue
    await eachPage(database, vault, [store], (opened) => {
      if (store === 'messages') for (const { bytes } of opened) count(contents, bytes)
      const old = opened.filter(({ isCurrent }) => !isCurrent)
      const sealed = vault.sealRecords(
        old.map(({ key, bytes, record: { s: _, ...listing } }) => ({ store, key, bytes, listing })),
      )
      return old.flatMap(({ key }, at): Sealed[] => {
        const record = sealed[at]
        return record ? [{ store, key, record }] : []
      })
    })
  }
  await eachPage(database, vault, ['conversations', 'accounts'], (opened) => {
    // One that is done stays as it is: it may have been accepted or denied since.
    const old = opened.filter(({ isCurrent }) => !isCurrent)
    const conversations = old.map(({ bytes }) => fromBinary(ConversationRecordSchema, bytes))
    const writes = conversations.flatMap((conversation) =>
      conversationWrites(conversation, contents.get(conversation.conversationId)),
    )
    return seal(vault, writes)
  })
  const totals = { messages: 0, bytes: 0n }
  await eachPage(database, vault, ['accounts'], (opened) => {
    for (const { bytes } of opened) {
      const account = fromBinary(AccountRecordSchema, bytes)
      totals.messages += account.messages
      totals.bytes += account.bytes
    }
    return []
  })
  await save(database, ['meta', 'account'], async (transaction) => {
    // Another home may have finished meanwhile, and counted on.
    if ((await transaction.objectStore('meta').get('records')) === recordVersion) return
    const writes = totals.messages > 0 ? [put(tables.requestTotals, 'requestTotals', totals)] : []
    const [written] = seal(vault, writes)
    if (written) await transaction.objectStore(written.store).put(written.record, written.key)
    await transaction.objectStore('meta').put(recordVersion, 'records')
  })
}

/** Who was answered was accepted; whoever else wrote has made a request. */
const conversationWrites = (
  conversation: Fields<ConversationRecord>,
  { messages, ofOthers, bytesOfOthers, isAnswered }: Content = empty(),
): readonly Write[] => {
  const { conversationId, peer: address } = conversation
  // The note to self names one address twice.
  const isOwn = conversationId.split(address).length > 2
  const isAccepted = isOwn || isAnswered
  const consent = isAccepted ? StoredConsent.ALLOWED : StoredConsent.UNSPECIFIED
  const account = {
    address,
    consent,
    messages: isAccepted ? 0 : ofOthers,
    bytes: BigInt(isAccepted ? 0 : bytesOfOthers),
  }
  return [
    put(tables.conversations, conversationId, { ...conversation, consent, messages }),
    ...(isOwn ? [] : [put(tables.accounts, address, account)]),
  ]
}

const empty = (): Content => ({ messages: 0, ofOthers: 0, bytesOfOthers: 0, isAnswered: false })

const count = (contents: Map<string, Content>, bytes: Uint8Array): void => {
  const { conversationId, state, content, deleted } = fromBinary(MessageRecordSchema, bytes)
  if (deleted) return
  const before = contents.get(conversationId) ?? empty()
  const isOfOther = state === MessageState.RECEIVED
  contents.set(conversationId, {
    messages: before.messages + 1,
    ofOthers: before.ofOthers + Number(isOfOther),
    bytesOfOthers: before.bytesOfOthers + (isOfOther ? content.length : 0),
    isAnswered: before.isAnswered || !isOfOther,
  })
}

const seal = (vault: RecordVault, writes: readonly Write[]): readonly Sealed[] =>
  vault
    .seal(writes)
    .flatMap(({ write, key, record }) =>
      record ? [{ store: write.table.store, key, record }] : [],
    )

/** Passes through the first of these stores, page by page, and writes what comes of each page. */
const eachPage = async (
  database: Database,
  vault: RecordVault,
  names: readonly [StoreName, ...StoreName[]],
  plan: (opened: readonly Opened[]) => readonly Sealed[],
): Promise<void> => {
  const [first] = names
  for (let after: PhysicalKey | undefined, isEnd = false; !isEnd; ) {
    await save(database, names, async (transaction) => {
      const range = after === undefined ? null : IDBKeyRange.lowerBound(after, true)
      const opening = await transaction.objectStore(first).openCursor(range)
      const page = await collect(opening, pageRecords)
      isEnd = page.isEnd
      after = page.found.at(-1)?.key
      for (const { store, key, record } of plan(openAny(vault, first, page.found))) {
        await transaction.objectStore(store).put(record, key)
      }
    })
  }
}

/** Records of either version. What opens as neither is damaged, and stays as it is. */
const openAny = (
  vault: RecordVault,
  store: StoreName,
  found: readonly Found[],
): readonly Opened[] => {
  const current = vault.openRecords(store, found)
  const old = vault.openRecords(store, found, 1)
  return found.flatMap(({ key, record }, at): Opened[] => {
    const bytes = current[at] ?? old[at]
    return bytes ? [{ key, record, bytes, isCurrent: current[at] !== undefined }] : []
  })
}

const save = async (
  database: Database,
  names: readonly ('meta' | StoreName)[],
  work: (transaction: ReturnType<typeof writing>) => Promise<void>,
): Promise<void> => {
  const transaction = writing(database, names)
  await withPatience(
    work(transaction).then(() => transaction.done),
    () => true,
  )
}

const writing = (database: Database, names: readonly ('meta' | StoreName)[]) => {
  const transaction = database.transaction(names, 'readwrite')
  // A failed transaction rejects this too; the first error is the one that is reported.
  transaction.done.catch(() => undefined)
  return transaction
}
