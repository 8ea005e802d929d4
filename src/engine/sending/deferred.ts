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
} from '../../protocol/ids.ts'
import { requestLimitBytes } from '../../protocol/limits.ts'
import { messageTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { allConversations, messageOrder, put, remove, tables } from '../../store/tables.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import { peerOf } from '../messages/conversations.ts'
import type { RecoveryParts } from '../retransmission/requester.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import type { FanoutMessage } from './fanout.ts'
import { sentWrite } from './sent-records.ts'

const memoryMs = 14 * 86_400_000
const intervalMs = 3_600_000
/** Conversations that are looked at for an own installation that became known late. */
const maxConversations = 1_000
/** Messages read at once. */
const pageSize = 100
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

interface Deferral {
  readonly number: number
  readonly messageId: string
  readonly to: InstallationId
  readonly address: Address
  readonly sinceMs: number
}

export class DeferredDelivery {
  readonly #context: Context
  readonly #parts: Omit<RecoveryParts, 'outbox'>
  /** Stored entries are handed to it. */
  outbox: Pick<RecoveryParts['outbox'], 'enqueue' | 'internalEntry'> | undefined
  /** In the order in which they came about. */
  readonly #debts = new Map<number, Deferral>()
  /** What is published and who is known change one after the other, so that each sees the other. */
  readonly #knowing = new Mutex()
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
   * Marks messages published, together with who should have them and is not among those they went
   * to: could not be encrypted to, or became known after they were sealed.
   */
  published(
    messages: readonly PublishedMessage[],
    commit: (more: readonly Write[]) => Promise<void>,
  ): Promise<void> {
    return this.#knowing.runExclusive(async () => {
      const debts: Deferral[] = []
      for (const message of messages) debts.push(...(await this.#missing(message)))
      await this.#commit(debts, commit)
    })
  }

  /**
   * Installations become known, together with what was published since they are there and without
   * them: it is owed to them.
   */
  gained(
    installations: readonly KnownInstallation[],
    commit: (more: readonly Write[]) => Promise<void>,
  ): Promise<void> {
    return this.#knowing.runExclusive(async () => {
      const debts: Deferral[] = []
      for (const installation of installations) debts.push(...(await this.#late(installation)))
      await this.#commit(debts, commit)
    })
  }

  async #commit(debts: readonly Deferral[], commit: (more: readonly Write[]) => Promise<void>) {
    await commit(debts.map(deferralWrite))
    for (const debt of debts) this.#debts.set(debt.number, debt)
    // Who only became known late can be reached now.
    if (debts.length > 0) this.retry()
  }

  async #missing(message: PublishedMessage): Promise<readonly Deferral[]> {
    const { messageId, conversationId, nodeNs, topics } = message
    const { account } = this.#context
    const debts: Deferral[] = []
    for (const address of new Set([peerOf(conversationId, account.address), account.address])) {
      for (const one of await this.#parts.directory.recipients(address)) {
        // What was published before an installation was there is not meant for it.
        if (one.firstSeenNs >= nodeNs || topics.has(messageTopic(one.id))) continue
        debts.push(this.#debt(messageId, one))
      }
    }
    return debts
  }

  async #late(installation: KnownInstallation): Promise<readonly Deferral[]> {
    const late: string[] = []
    for (const group of await this.#conversationsWith(installation.address)) {
      late.push(...(await this.#publishedSince(group, installation.firstSeenNs)))
    }
    if (late.length === 0) return []
    const got = await this.#messagesTo(installation.id)
    return late.filter((id) => !got.has(id)).map((id) => this.#debt(id, installation))
  }

  /** Own messages of a conversation that were published after that time, and are still owed. */
  async #publishedSince(group: string, sinceNs: bigint): Promise<readonly string[]> {
    const { account, store, time } = this.#context
    const oldestNs = time.passedNs() - BigInt(memoryMs) * 1_000_000n
    const late: string[] = []
    for (let before: Uint8Array<ArrayBuffer> | undefined; late.length < maxOwed; ) {
      const rows = await store.list(tables.messages, {
        group,
        ...(before ? { before } : {}),
        limit: pageSize,
        newestFirst: true,
      })
      for (const { value } of rows) {
        // Pending: publishing it will find the installation.
        if (value.nodeNs === 0n) continue
        if (value.nodeNs <= sinceNs || value.nodeNs < oldestNs) return late
        if (value.senderInstallation === account.installationId) late.push(value.messageId)
      }
      const last = rows.at(-1)
      if (!last || rows.length < pageSize) return late
      before = messageOrder(last.value.nodeNs, last.value.composedNs)
    }
    return late
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
      limit: maxConversations,
      newestFirst: true,
    })
    return rows.map(({ value }) => value.conversationId)
  }

  #debt(messageId: string, { id, address }: KnownInstallation): Deferral {
    const { store, time } = this.#context
    const number = store.nextNumber(tables.owed)
    return { number, messageId, to: id, address, sinceMs: time.stampMs() }
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
      this.#hasNews = false
      if (this.#isLive && this.#debts.size > 0) {
        try {
          await this.#deliverAll()
        } catch (error) {
          if (closing.aborted) return
          status.warnOf(error)
        }
      }
      if (this.#hasNews && this.#isLive) continue
      if (!closing.aborted) await platform.wait(intervalMs, this.#pause.signal)
    }
  }

  async #deliverAll(): Promise<void> {
    await this.#dropOld()
    const { directory } = this.#parts
    const waiting = new Map<InstallationId, Deferral[]>()
    for (const debt of this.#debts.values()) {
      const others = waiting.get(debt.to)
      if (others) others.push(debt)
      else waiting.set(debt.to, [debt])
    }
    for (const [id, debts] of waiting) {
      const [first] = debts
      if (!first) continue
      const recipient = (await directory.recipients(first.address)).find((one) => one.id === id)
      const known = (await directory.account(first.address)).get(id)
      if (recipient) await this.#deliver(recipient, debts)
      else if (known && known.revokedNs > 0n) await this.#drop(debts)
    }
  }

  /** Sends what one installation is owed, as far as it can be encrypted to. */
  async #deliver(recipient: KnownInstallation, debts: readonly Deferral[]): Promise<void> {
    const { fanout } = this.#parts
    for (let left = debts; left.length > 0; ) {
      const count = await fanout.runExclusive(() => this.#deliverFirst(recipient, left))
      if (count === 0) return
      left = left.slice(count)
    }
  }

  /** @returns how many of the debts are paid now. */
  async #deliverFirst(recipient: KnownInstallation, debts: readonly Deferral[]): Promise<number> {
    const { fanout, sessions } = this.#parts
    const { outbox } = this
    const { ratchetLock, store } = this.#context
    const fresh = await fanout.prepare([recipient])
    return ratchetLock.runExclusive(async () => {
      if (!outbox || fanout.reachable([recipient], fresh).length === 0) return 0
      const most = Math.min(maxAtOnce, fanout.sendsLeft(recipient, fresh))
      const { messages, ids, paid } = await this.#read(recipient, debts.slice(0, most))
      const sealed = fanout.seal(messages, fresh)
      if (!sealed) return 0
      const entries = sealed.rows.map((rows) => outbox.internalEntry(recipient.address, rows))
      await store.transaction(
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
      return paid.length
    })
  }

  /** The messages of the first debts, as many as go at once. */
  async #read(recipient: KnownInstallation, debts: readonly Deferral[]) {
    const messages: FanoutMessage[] = []
    const ids: string[] = []
    const paid: Deferral[] = []
    let bytes = 0
    for (const debt of debts) {
      const row = await this.#context.store.get(tables.messages, debt.messageId)
      bytes += row?.value.content.length ?? 0
      if (bytes > maxBytesAtOnce && messages.length > 0) break
      paid.push(debt)
      if (!row) continue
      ids.push(debt.messageId)
      messages.push({
        conversationId: row.value.conversationId as ConversationId,
        content: row.value.content,
        composedNs: row.value.composedNs,
        recipients: [recipient],
      })
    }
    return { messages, ids, paid }
  }

  async #dropOld(): Promise<void> {
    const oldestMs = this.#context.time.passedMs() - memoryMs
    const all = [...this.#debts.values()]
    const excess = all.slice(0, Math.max(0, all.length - maxOwed))
    const old = all.filter((debt) => debt.sinceMs < oldestMs || excess.includes(debt))
    if (old.length > 0) await this.#drop(old)
  }

  async #drop(debts: readonly Deferral[]): Promise<void> {
    await this.#context.store.transaction([], () => ({
      writes: debts.map(({ number }) => remove(tables.owed, number)),
      result: undefined,
    }))
    for (const { number } of debts) this.#debts.delete(number)
  }
}

const deferralWrite = ({ number, messageId, to, address, sinceMs }: Deferral): Write =>
  put(tables.owed, number, {
    messageId,
    installationId: to,
    address,
    sinceMs: BigInt(sinceMs),
  })
