/**
 * Messages on their way out (docs/protocol.md section 8, Out): stored as pending at once, encrypted
 * when the recipients are known, published in order, one request in flight, for ever retried with
 * the same bytes.
 */

import { encodeContent } from '../content/registry.ts'
import { PadlockError, type PadlockErrorCode } from '../errors.ts'
import {
  type Address,
  type ConversationId,
  deriveMessageId,
  type MessageId,
  parseCanonicalAddress,
} from '../protocol/ids.ts'
import { contentLimitBytes, requestLimitBytes, requestLimitEnvelopes } from '../protocol/limits.ts'
import { isNodeCode } from '../protocol/node-codes.ts'
import type { Row, Write } from '../store/store.ts'
import {
  add,
  type MessageRecord,
  MessageState,
  type OutboxRecord,
  type OutboxRow,
  put,
  remove,
  tables,
} from '../store/tables.ts'
import { Backoff } from './backoff.ts'
import type { Context } from './context.ts'
import { type Conversations, peerOf, toMessageRecord } from './conversations.ts'
import type { Directory, KnownInstallation } from './directory.ts'
import type { Fanout, FanoutMessage } from './fanout.ts'
import type { Message } from './model.ts'
import { nsToMs } from './node-time.ts'
import type { Sessions } from './sessions.ts'

/** Messages sealed in one transaction. */
const maxSealed = 50
/** What an envelope adds to its content at most: padding, header, seals, Olm. */
const envelopeOverheadBytes = 2_048
/** A message for someone without installations is tried again this often (section 8). */
const waitingRetryMs = 3_600_000

interface Entry {
  readonly number: number
  readonly record: Omit<OutboxRecord, '$typeName' | '$unknown'>
  /** Nothing to encrypt to: left alone until something changes. */
  waitingSinceMs?: number
}

export class Outbox {
  readonly #context: Context
  readonly #conversations: Conversations
  readonly #directory: Directory
  readonly #sessions: Sessions
  readonly #fanout: Fanout
  readonly #entries = new Map<number, Entry>()
  readonly #backoff: Backoff
  readonly #stop = new AbortController()
  #lastComposedNs = 0n
  #wake: () => void = () => undefined
  #retryNow = new AbortController()
  #isOnline = false
  readonly #sentListeners = new Set<(message: Message) => void>()

  constructor(
    context: Context,
    conversations: Conversations,
    directory: Directory,
    sessions: Sessions,
    fanout: Fanout,
  ) {
    this.#context = context
    this.#conversations = conversations
    this.#directory = directory
    this.#sessions = sessions
    this.#fanout = fanout
    this.#backoff = new Backoff(context.platform)
  }

  async load(): Promise<void> {
    const times = await this.#context.store.get(tables.times, 'times')
    if (!times) throw new PadlockError('storage_damaged')
    this.#lastComposedNs = times.value.lastComposedNs
    for (let after = 0; ; ) {
      const page = await this.#context.store.scan(tables.outbox, { after, limit: 500 })
      for (const { value, number } of page.rows)
        this.#entries.set(number, { number, record: value })
      if (page.rows.length === 0) return
      after = page.lastNumber
    }
  }

  /** Works until closed. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      try {
        if (this.#isOnline && (await this.#step())) {
          this.#backoff.reset()
          continue
        }
        const pause = new AbortController()
        const stopPause = () => pause.abort()
        this.#stop.signal.addEventListener('abort', stopPause, { once: true })
        await Promise.race([woken, this.#context.platform.wait(waitingRetryMs, pause.signal)])
        this.#stop.signal.removeEventListener('abort', stopPause)
        pause.abort()
        this.#forgetOldWaits()
      } catch (error) {
        if (this.#stop.signal.aborted) return
        await this.#failed(error)
      }
    }
  }

  /** There may be something to do. */
  poke(): void {
    this.#wake()
  }

  /** The connection came or went. */
  setOnline(isOnline: boolean): void {
    this.#isOnline = isOnline
    if (!isOnline) return
    for (const entry of this.#entries.values()) delete entry.waitingSinceMs
    this.#backoff.reset()
    this.#retryNow.abort()
    this.poke()
  }

  /** An account's installations changed, or one of them wrote: who waits for it may go on. */
  retry(address: Address): void {
    for (const entry of this.#entries.values()) {
      if (entry.record.conversationId.includes(address)) delete entry.waitingSinceMs
    }
    this.poke()
  }

  close(): void {
    this.#stop.abort()
    this.#retryNow.abort()
    this.poke()
  }

  /** Stores a message as pending; from then on it is never lost. */
  async send(conversationId: ConversationId, content: string): Promise<Message> {
    const { store, account, time } = this.#context
    const peer = peerOf(conversationId, account.address)
    const contentBytes = encodeContent(content)
    if (contentBytes.length > contentLimitBytes) throw new PadlockError('message_too_large')
    await this.#conversations.load(conversationId)
    const composedNs = time.composedNs(this.#lastComposedNs)
    this.#lastComposedNs = composedNs
    const id = deriveMessageId({
      convoId: conversationId,
      senderAddress: account.address,
      senderInstallationId: account.installationId,
      composedNs,
      contentBytes,
    })
    const record = toMessageRecord({
      id,
      conversationId,
      sender: account.address,
      senderInstallation: account.installationId,
      composedNs,
      nodeNs: 0n,
      content: contentBytes,
      state: 'pending',
    })
    const arrival = this.#conversations.nextArrival()
    const entry: Entry = {
      number: store.nextNumber(tables.outbox),
      record: { messageId: id, conversationId, composedNs, rows: [], sealed: false, sealedMs: 0n },
    }
    const touched = this.#conversations.touch(conversationId, peer, nsToMs(composedNs))
    await store.advance([{ table: tables.times, key: 'times' }], (rows) => {
      const times = rows.get(tables.times, 'times')
      if (!times) throw new PadlockError('storage_damaged')
      return {
        writes: [
          add(tables.messages, id, record, arrival),
          put(tables.outbox, entry.number, entry.record),
          put(tables.times, 'times', { ...times.value, lastComposedNs: this.#lastComposedNs }),
          touched.write,
        ],
        result: undefined,
      }
    })
    this.#conversations.committed(touched.record)
    this.#entries.set(entry.number, entry)
    this.#conversations.arrived(arrival)
    this.poke()
    return this.#conversations.describeMessage({
      value: { $typeName: 'padlock.store.v1.MessageRecord', ...record },
      number: arrival,
    })
  }

  /** The message once it is no longer pending, or as it is after `waitMs`. */
  async whenSent(id: string, waitMs: number, signal: AbortSignal): Promise<Message> {
    const { store, platform } = this.#context
    const patience = new AbortController()
    const stop = () => patience.abort()
    signal.addEventListener('abort', stop, { once: true })
    // Registered before reading, so that the news cannot slip in between.
    const listener = (message: Message) => {
      if (message.id === id) stop()
    }
    this.#sentListeners.add(listener)
    try {
      const read = async () => {
        const row = await store.get(tables.messages, id)
        if (!row)
          throw new PadlockError('invalid_argument', { message: 'There is no such message.' })
        return this.#conversations.describeMessage(row)
      }
      const message = await read()
      if (message.state !== 'pending' || signal.aborted) return message
      const isWaiting = [...this.#entries.values()].some(({ record }) => record.messageId === id)
      // It was given up: nothing will change by itself.
      if (!isWaiting) throw new PadlockError(message.reason ?? 'internal')
      await platform.wait(waitMs, patience.signal)
      return await read()
    } finally {
      this.#sentListeners.delete(listener)
      signal.removeEventListener('abort', stop)
      stop()
    }
  }

  /** @returns whether anything was done. */
  async #step(): Promise<boolean> {
    const sealed = this.#takeSealed()
    if (sealed.length > 0) {
      await this.#publish(sealed)
      return true
    }
    return this.#seal()
  }

  /** The next encrypted messages, in order, that fit one request. */
  #takeSealed(): readonly Entry[] {
    const taken: Entry[] = []
    let bytes = 0
    let count = 0
    for (const entry of this.#entries.values()) {
      if (!entry.record.sealed) continue
      count += entry.record.rows.length
      bytes += entry.record.rows.reduce((sum, row) => sum + row.message.length, 0)
      if (taken.length > 0 && (count > requestLimitEnvelopes || bytes > requestLimitBytes)) break
      taken.push(entry)
    }
    return taken
  }

  /** Encrypts the next messages. @returns whether there was one that could be. */
  async #seal(): Promise<boolean> {
    const { account, platform, store } = this.#context
    const waiting = [...this.#entries.values()].filter(
      (entry) => entry.waitingSinceMs === undefined,
    )
    const entries = waiting.slice(0, maxSealed)
    if (entries.length === 0) return false
    const peers = new Set(
      entries.map(({ record }) => peerOf(record.conversationId as ConversationId, account.address)),
    )
    await this.#directory.refresh([...peers, account.address])

    const recipients = new Map<Address, readonly KnownInstallation[]>()
    for (const address of [...peers, account.address]) {
      recipients.set(address, await this.#directory.recipients(address))
    }
    const fresh = await this.#fanout.prepare([...recipients.values()].flat())

    return this.#context.ratchets.run(async () => {
      const own = this.#fanout.reachable(recipients.get(account.address) ?? [], fresh)
      const now: Entry[] = []
      const messages: FanoutMessage[] = []
      let envelopes = 0
      let bytes = 0
      for (const entry of entries) {
        const conversationId = entry.record.conversationId as ConversationId
        const peer = peerOf(conversationId, account.address)
        const isNote = peer === account.address
        const theirs = isNote ? [] : this.#fanout.reachable(recipients.get(peer) ?? [], fresh)
        if (!isNote && theirs.length === 0) {
          await this.#wait(entry, 'no_installation')
          continue
        }
        const row = await store.get(tables.messages, entry.record.messageId)
        if (!row) throw new PadlockError('storage_damaged')
        const all = [...theirs, ...own]
        const size = all.length * (row.value.content.length + envelopeOverheadBytes) * 1.07
        if (size > requestLimitBytes || all.length > requestLimitEnvelopes) {
          await this.#giveUp(entry, 'message_too_large')
          continue
        }
        envelopes += all.length
        bytes += size
        if (now.length > 0 && (envelopes > requestLimitEnvelopes || bytes > requestLimitBytes))
          break
        now.push(entry)
        messages.push({
          conversationId,
          content: row.value.content,
          composedNs: entry.record.composedNs,
          recipients: all,
        })
      }
      if (now.length === 0) return entries.length < waiting.length

      const sealed = this.#fanout.seal(messages, fresh)
      const next = now.map(
        (entry, at): Entry => ({
          number: entry.number,
          record: {
            ...entry.record,
            sealed: true,
            sealedMs: BigInt(platform.nowMs()),
            rows: (sealed.rows[at] ?? []).map((row) => ({
              $typeName: 'padlock.store.v1.OutboxRow',
              ...row,
            })),
          },
        }),
      )
      await store.advance([], () => ({
        writes: [
          ...this.#sessions.writes(sealed.sessions),
          ...sealed.writes,
          ...next.map((entry) => put(tables.outbox, entry.number, entry.record)),
        ],
        result: undefined,
      }))
      this.#sessions.committed(sealed.sessions)
      for (const entry of next) this.#entries.set(entry.number, entry)
      return true
    })
  }

  async #publish(entries: readonly Entry[]): Promise<void> {
    const { store, time } = this.#context
    const rows = entries.flatMap(({ record }) => record.rows)
    const receipts = rows.length === 0 ? [] : await this.#offer(entries, rows)
    if (!receipts) return
    let at = 0
    const nodeTimes = entries.map(({ record }) => {
      const receipt = receipts[at]
      at += record.rows.length
      // Nobody else to tell: node time, or the own clock if there is none yet (section 8).
      return receipt && record.rows.length > 0 ? receipt.nodeNs : (time.nodeNs() ?? time.clockNs())
    })
    const sent = await store.advance(
      entries.map(({ record }) => ({ table: tables.messages, key: record.messageId })),
      (found) => {
        const writes: Write[] = []
        const changed: Row<MessageRecord>[] = []
        for (const [nth, entry] of entries.entries()) {
          writes.push(remove(tables.outbox, entry.number))
          const row = found.get(tables.messages, entry.record.messageId)
          if (!row) continue
          const value = {
            ...row.value,
            nodeNs: nodeTimes[nth] ?? 0n,
            state: MessageState.SENT,
            reason: '',
          }
          writes.push(put(tables.messages, entry.record.messageId, value, row.number))
          changed.push({ value, number: row.number })
        }
        return { writes, result: changed }
      },
    )
    for (const entry of entries) this.#entries.delete(entry.number)
    for (const row of sent) await this.#tell(row)
  }

  /** @returns the receipts, or undefined if the node refused and the entries were mended. */
  async #offer(entries: readonly Entry[], rows: readonly OutboxRow[]) {
    try {
      return await this.#context.network.publish(rows, this.#context.closing)
    } catch (error) {
      if (!(error instanceof PadlockError) || error.retryable || !isNodeCode(error.code))
        throw error
      const index = Number(error.details?.envelopeIndex ?? 0)
      if (error.code === 'recipient_gone') await this.#recipientGone(entries, rows[index])
      else await this.#refused(entries, index, error.code)
      return undefined
    }
  }

  async #tell(row: Row<MessageRecord>): Promise<void> {
    const message = await this.#conversations.describeMessage(row)
    for (const listener of [...this.#sentListeners]) listener(message)
    this.#context.emit({ kind: 'message-state', message })
  }

  /** The message stays pending and says why. */
  async #wait(entry: Entry, reason: PadlockErrorCode): Promise<void> {
    entry.waitingSinceMs = this.#context.platform.nowMs()
    await this.#setReason(entry, reason, [])
  }

  /** The message stays pending for good: trying again cannot help. */
  async #giveUp(entry: Entry, reason: PadlockErrorCode): Promise<void> {
    await this.#setReason(entry, reason, [remove(tables.outbox, entry.number)])
    this.#entries.delete(entry.number)
  }

  async #setReason(entry: Entry, reason: PadlockErrorCode, more: readonly Write[]): Promise<void> {
    const id = entry.record.messageId as MessageId
    const changed = await this.#context.store.advance(
      [{ table: tables.messages, key: id }],
      (rows) => {
        const row = rows.get(tables.messages, id)
        if (!row || row.value.reason === reason) return { writes: more, result: undefined }
        const value = { ...row.value, reason }
        return {
          writes: [...more, put(tables.messages, id, value, row.number)],
          result: { value, number: row.number },
        }
      },
    )
    if (changed) await this.#tell(changed)
  }

  /** Waits before the next try; coming online again ends the wait. */
  async #failed(error: unknown): Promise<void> {
    const { status, platform } = this.#context
    const known =
      error instanceof PadlockError ? error : new PadlockError('internal', { cause: error })
    status.warn(known.code)
    this.#retryNow = new AbortController()
    const delay = this.#backoff.next(Number(known.details?.retryAfterMs ?? 0))
    await platform.wait(delay, this.#retryNow.signal)
  }

  /** The topics say whether it is true; the node alone is not believed (section 8). */
  async #recipientGone(entries: readonly Entry[], row: OutboxRow | undefined): Promise<void> {
    const address = row && parseCanonicalAddress(row.address)
    if (!row || !address?.ok) throw new PadlockError('bad_response')
    await this.#directory.reread(address.value)
    const usable = await this.#directory.recipients(address.value)
    if (usable.some(({ id }) => row.topic.endsWith(id))) throw new PadlockError('node_withholding')
    for (const entry of entries) {
      if (!entry.record.rows.some(({ topic }) => topic === row.topic)) continue
      const left = entry.record.rows.filter(({ topic }) => topic !== row.topic)
      const peer = peerOf(
        entry.record.conversationId as ConversationId,
        this.#context.account.address,
      )
      const reachesPeer = left.some(({ address: to }) => to === peer)
      const isNote = peer === this.#context.account.address
      const record =
        reachesPeer || isNote
          ? { ...entry.record, rows: left }
          : { ...entry.record, rows: [], sealed: false, sealedMs: 0n }
      await this.#context.store.advance([], () => ({
        writes: [put(tables.outbox, entry.number, record)],
        result: undefined,
      }))
      this.#entries.set(entry.number, { number: entry.number, record })
    }
  }

  /** A refusal that no retry mends: that message gives up, the others go on. */
  async #refused(
    entries: readonly Entry[],
    envelopeIndex: number,
    code: PadlockErrorCode,
  ): Promise<void> {
    this.#context.status.warn(code)
    let before = 0
    const refused = entries.find(({ record }) => {
      before += record.rows.length
      return envelopeIndex < before
    })
    if (!refused) throw new PadlockError('bad_response')
    await this.#giveUp(refused, code)
  }

  #forgetOldWaits(): void {
    const oldest = this.#context.platform.nowMs() - waitingRetryMs
    for (const entry of this.#entries.values()) {
      if (entry.waitingSinceMs !== undefined && entry.waitingSinceMs <= oldest) {
        delete entry.waitingSinceMs
      }
    }
  }
}
