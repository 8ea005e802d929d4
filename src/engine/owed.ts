/**
 * What single installations did not get with the others (docs/protocol.md section 8, Out): those that
 * could not be encrypted to, and those that were not known yet. They get it when they can be reached,
 * for two weeks: the same content with the same time, so the same message.
 */

import {
  type Address,
  buildConversationId,
  type ConversationId,
  type InstallationId,
} from '../protocol/ids.ts'
import { requestLimitBytes } from '../protocol/limits.ts'
import { messageTopic } from '../protocol/topics.ts'
import type { Write } from '../store/store.ts'
import { allConversations, put, remove, tables } from '../store/tables.ts'
import type { Context } from './context.ts'
import { peerOf } from './conversations.ts'
import type { KnownInstallation } from './directory.ts'
import type { FanoutMessage } from './fanout.ts'
import type { RecoveryParts } from './recovery.ts'
import { sentWrite } from './sent-records.ts'

const memoryMs = 14 * 86_400_000
const intervalMs = 3_600_000
/** An installation that became known this long after it was there had its news held up somewhere. */
const lateMs = 3_600_000
/** So many messages of a conversation, and conversations, are looked at for one that came late. */
const maxLate = 100
/** Beyond that the oldest are not owed any more, as after two weeks. */
const maxOwed = 10_000
/** Messages of one installation that go at once. */
const maxAtOnce = 50
const maxBytesAtOnce = requestLimitBytes / 4

/** A message that the node has. */
export interface PublishedMessage {
  readonly messageId: string
  readonly conversationId: ConversationId
  readonly nodeNs: bigint
  /** Where it lies. */
  readonly topics: ReadonlySet<string>
}

interface Debt {
  readonly number: number
  readonly messageId: string
  readonly to: InstallationId
  readonly address: Address
  readonly sinceMs: number
}

/** Debts to be written with a transaction. */
export interface NewDebts {
  readonly writes: readonly Write[]
  readonly debts: readonly Debt[]
}

export class Owed {
  readonly #context: Context
  readonly #parts: Omit<RecoveryParts, 'outbox'>
  /** Stored entries are handed to it. */
  outbox: Pick<RecoveryParts['outbox'], 'enqueue' | 'internalEntry'> | undefined
  /** In the order in which they came about. */
  readonly #debts = new Map<number, Debt>()
  #isLive = false
  /** Whether anything happened that may let someone be reached, since the last try. */
  #hasNews = false
  #pause = new AbortController()

  constructor(context: Context, parts: Omit<RecoveryParts, 'outbox'>) {
    this.#context = context
    this.#parts = parts
  }

  async load(): Promise<void> {
    for (let after = 0; ; ) {
      const { rows, lastNumber } = await this.#context.store.scan(tables.owed, {
        after,
        limit: 500,
      })
      for (const { number, value } of rows) {
        this.#debts.set(number, {
          number,
          messageId: value.messageId,
          to: value.installationId as InstallationId,
          address: value.address as Address,
          sinceMs: Number(value.sinceMs),
        })
      }
      if (lastNumber <= after) return
      after = lastNumber
    }
  }

  /**
   * Who of both accounts should have these messages and is not among those they went to: could not be
   * encrypted to, or became known after they were sealed.
   */
  async missing(messages: readonly PublishedMessage[]): Promise<NewDebts> {
    const { account } = this.#context
    const debts: Debt[] = []
    for (const { messageId, conversationId, nodeNs, topics } of messages) {
      const peer = peerOf(conversationId, account.address)
      for (const address of new Set([peer, account.address])) {
        for (const one of await this.#parts.directory.recipients(address)) {
          // What was published before an installation was there is not meant for it.
          if (one.firstSeenNs >= nodeNs || topics.has(messageTopic(one.id))) continue
          debts.push(this.#debt(messageId, one))
        }
      }
    }
    return { debts, writes: debts.map(writeDebt) }
  }

  /** As `missing`, for whoever became known since; stores what it finds. */
  async noteMore(messages: readonly PublishedMessage[], noted: readonly Debt[]): Promise<void> {
    const all = [...noted, ...this.#debts.values()]
    const known = new Set(all.map(({ to, messageId }) => `${to} ${messageId}`))
    const { debts } = await this.missing(messages)
    const more = debts.filter(({ to, messageId }) => !known.has(`${to} ${messageId}`))
    if (more.length === 0) return
    await this.#context.store.advance([], () => ({
      writes: more.map(writeDebt),
      result: undefined,
    }))
    this.committed(more)
  }

  /** An installation became known: what was published since it is there, and without it, is owed. */
  async gained(installation: KnownInstallation): Promise<void> {
    const { ratchets, store, time } = this.#context
    const now = time.nodeNs() ?? time.clockNs()
    if (installation.firstSeenNs < now - BigInt(lateMs) * 1_000_000n) return
    await ratchets.run(async () => {
      const got = await this.#messagesTo(installation.id)
      const debts: Debt[] = []
      for (const group of await this.#conversationsWith(installation.address)) {
        const rows = await store.list(tables.messages, { group, limit: maxLate, newestFirst: true })
        for (const { value } of rows) {
          const isOurs = value.senderInstallation === this.#context.account.installationId
          // 0 while it is pending: then publishing it will find the installation.
          const isLate = value.nodeNs > installation.firstSeenNs
          if (!isOurs || !isLate || got.has(value.messageId)) continue
          debts.push(this.#debt(value.messageId, installation))
        }
      }
      if (debts.length === 0) return
      await store.advance([], () => ({ writes: debts.map(writeDebt), result: undefined }))
      this.committed(debts)
    })
  }

  /** What was already sent to an installation, or is owed to it. */
  async #messagesTo(id: InstallationId): Promise<ReadonlySet<string>> {
    const got = new Set<string>()
    for (const { to, messageId } of this.#debts.values()) if (to === id) got.add(messageId)
    for (let after = 0; ; ) {
      const { rows, lastNumber } = await this.#context.store.scan(tables.sent, {
        after,
        limit: 500,
      })
      for (const { value } of rows) {
        for (const one of value.envelopes) if (one.installationId === id) got.add(one.messageId)
      }
      if (lastNumber <= after) return got
      after = lastNumber
    }
  }

  /** Conversations whose messages an account's installations get: with it, or all of one's own. */
  async #conversationsWith(address: Address): Promise<readonly string[]> {
    const { account, store } = this.#context
    if (address !== account.address) return [buildConversationId(account.address, address)]
    const rows = await store.list(tables.conversations, {
      group: allConversations,
      limit: maxLate,
      newestFirst: true,
    })
    return rows.map(({ value }) => value.conversationId)
  }

  #debt(messageId: string, { id, address }: KnownInstallation): Debt {
    const { platform, store } = this.#context
    const number = store.nextNumber(tables.owed)
    return { number, messageId, to: id, address, sinceMs: platform.nowMs() }
  }

  /** To be called when what `missing` gave is committed. */
  committed(debts: readonly Debt[]): void {
    for (const debt of debts) this.#debts.set(debt.number, debt)
    // Who only became known late can be reached now.
    if (debts.length > 0) this.retry()
  }

  /** The connection came or went. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.retry()
  }

  /** Somebody may be reachable now. */
  retry(): void {
    if (this.#debts.size === 0) return
    this.#hasNews = true
    this.#pause.abort()
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing, platform, status } = this.#context
    const end = () => this.#pause.abort()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      this.#pause = new AbortController()
      if (this.#isLive && this.#debts.size > 0) {
        this.#hasNews = false
        try {
          await this.#payAll()
        } catch (error) {
          if (closing.aborted) return
          status.warnOf(error)
        }
      }
      if (this.#hasNews && this.#isLive) continue
      if (!closing.aborted) await platform.wait(intervalMs, this.#pause.signal)
    }
  }

  async #payAll(): Promise<void> {
    await this.#dropOld()
    const { directory } = this.#parts
    const waiting = new Map<InstallationId, Debt[]>()
    for (const debt of this.#debts.values()) {
      waiting.set(debt.to, [...(waiting.get(debt.to) ?? []), debt])
    }
    for (const [id, debts] of waiting) {
      const [first] = debts
      if (!first) continue
      const recipient = (await directory.recipients(first.address)).find((one) => one.id === id)
      const known = (await directory.account(first.address)).get(id)
      if (recipient) await this.#pay(recipient, debts)
      else if (known && known.revokedNs > 0n) await this.#drop(debts)
    }
  }

  /** Sends what one installation is owed, as far as it can be encrypted to. */
  async #pay(recipient: KnownInstallation, debts: readonly Debt[]): Promise<void> {
    const { fanout, sessions } = this.#parts
    const { outbox } = this
    const { ratchets, store } = this.#context
    for (let at = 0; at < debts.length && outbox; at += maxAtOnce) {
      const fresh = await fanout.prepare([recipient])
      const isPaid = await ratchets.run(async () => {
        if (fanout.reachable([recipient], fresh).length === 0) return false
        const messages: FanoutMessage[] = []
        const paid: Debt[] = []
        let bytes = 0
        for (const debt of debts.slice(at, at + maxAtOnce)) {
          const row = await store.get(tables.messages, debt.messageId)
          bytes += row?.value.content.length ?? 0
          if (bytes > maxBytesAtOnce && messages.length > 0) break
          paid.push(debt)
          if (!row) continue
          messages.push({
            conversationId: row.value.conversationId as ConversationId,
            content: row.value.content,
            composedNs: row.value.composedNs,
            recipients: [recipient],
          })
        }
        const sealed = fanout.seal(messages, fresh)
        if (!sealed) return false
        const entries = sealed.rows.map((rows) => outbox.internalEntry(recipient.address, rows))
        const ids = paid.map(({ messageId }) => messageId)
        await store.advance(
          [],
          () => ({
            writes: [
              ...sessions.writes(sealed.sessions),
              ...sealed.writes,
              ...entries.map((entry) => put(tables.outbox, entry.number, entry.record)),
              ...paid.map(({ number }) => remove(tables.owed, number)),
              sentWrite(this.#context, sealed.rows, ids),
            ],
            result: undefined,
          }),
          // As in sealing: a ratchet never falls behind bytes that left.
          'strict',
        )
        sessions.committed(sealed.sessions)
        for (const { number } of paid) this.#debts.delete(number)
        for (const entry of entries) outbox.enqueue(entry)
        return true
      })
      if (!isPaid) return
    }
  }

  async #dropOld(): Promise<void> {
    const oldestMs = this.#context.platform.nowMs() - memoryMs
    const all = [...this.#debts.values()]
    const excess = all.slice(0, Math.max(0, all.length - maxOwed))
    const old = all.filter((debt) => debt.sinceMs < oldestMs || excess.includes(debt))
    if (old.length > 0) await this.#drop(old)
  }

  async #drop(debts: readonly Debt[]): Promise<void> {
    await this.#context.store.advance([], () => ({
      writes: debts.map(({ number }) => remove(tables.owed, number)),
      result: undefined,
    }))
    for (const { number } of debts) this.#debts.delete(number)
  }
}

const writeDebt = ({ number, messageId, to, address, sinceMs }: Debt): Write =>
  put(tables.owed, number, {
    messageId,
    installationId: to,
    address,
    sinceMs: BigInt(sinceMs),
  })
