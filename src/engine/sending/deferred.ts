/**
 * Deferred delivery: sends messages to installations that did not get them with the others, because
 * they were unknown or could not be encrypted to (docs/protocol.md section 8, Out). For two weeks,
 * as soon as they can be reached: the same content with the same time, so the same message.
 */

import type { Address, ConversationId, InstallationId } from '../../protocol/ids.ts'
import { hourMs, redeliveryMs, requestLimitBytes } from '../../protocol/limits.ts'
import { messageTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { audienceOf } from '../messages/audience.ts'
import type { ConversationList } from '../messages/conversation-list.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { Dispatch, Outgoing } from './dispatch.ts'
import type { Fanout } from './fanout.ts'
import type { OutboxQueue } from './outbox-queue.ts'
import { maxDeferrals, publishedSince } from './published-since.ts'
import { messagesSentTo } from './sent-records.ts'

/** Limits of the messages sent to one installation at a time. */
const maxAtOnce = 50
const maxBytesAtOnce = requestLimitBytes / 4

/** A message that the node has. */
export interface PublishedMessage {
  readonly messageId: string
  readonly conversationId: ConversationId
  readonly nodeNs: bigint
  /** The topics that it was published to. */
  readonly topics: ReadonlySet<string>
}

interface Deferral {
  readonly number: number
  readonly messageId: string
  readonly to: InstallationId
  readonly address: Address
  readonly sinceMs: number
}

export interface DeferredParts {
  readonly directory: Directory
  readonly fanout: Fanout
  readonly dispatch: Dispatch
  readonly queue: Pick<OutboxQueue, 'isCrowded'>
  readonly conversationList: Pick<ConversationList, 'ids'>
}

export class DeferredDelivery {
  readonly #context: Context
  readonly #parts: DeferredParts
  readonly #loop: TaskLoop
  /** In the order of creation. */
  readonly #deferrals = new Map<number, Deferral>()
  /** `published` and `gained` run one after the other, so that each sees the other's result. */
  readonly #knowledge = new Mutex()
  #isLive = false

  constructor(context: Context, parts: DeferredParts) {
    this.#context = context
    this.#parts = parts
    this.#loop = new TaskLoop(context, () => this.#deliverAll())
  }

  async load(): Promise<void> {
    for await (const { number, value } of scanAll(this.#context.store, tables.owed)) {
      this.#deferrals.set(number, {
        number,
        messageId: value.messageId,
        to: value.installationId as InstallationId,
        address: value.address as Address,
        sinceMs: Number(value.sinceMs),
      })
    }
  }

  /**
   * Marks messages published, and defers them for the installations that they did not go to: those
   * that could not be encrypted to, or became known after the messages were sealed.
   */
  published(
    messages: readonly PublishedMessage[],
    save: (more: Change) => Promise<void>,
  ): Promise<void> {
    return this.#knowledge.runExclusive(async () => {
      const deferrals: Deferral[] = []
      for (const message of messages) deferrals.push(...(await this.#missing(message)))
      await this.#save(deferrals, save)
    })
  }

  /**
   * Saves that installations became known, and defers for them the messages that were published
   * without them since they exist.
   */
  gained(
    installations: readonly KnownInstallation[],
    save: (more: Change) => Promise<void>,
  ): Promise<void> {
    return this.#knowledge.runExclusive(async () => {
      const deferrals: Deferral[] = []
      for (const address of new Set(installations.map((one) => one.address))) {
        const some = installations.filter((one) => one.address === address)
        deferrals.push(...(await this.#late(address, some)))
      }
      await this.#save(deferrals, save)
    })
  }

  async #save(deferrals: readonly Deferral[], save: (more: Change) => Promise<void>) {
    await save(this.#storedChange(deferrals))
    // An installation that became known late can be reached now.
    if (deferrals.length > 0) this.retry()
  }

  async #missing(message: PublishedMessage): Promise<readonly Deferral[]> {
    const { messageId, conversationId, nodeNs, topics } = message
    const { account } = this.#context
    const deferrals: Deferral[] = []
    for (const address of audienceOf(conversationId, account.address).participants) {
      for (const one of await this.#parts.directory.recipients(address)) {
        // Messages published before an installation existed are not meant for it.
        if (one.firstSeenNs >= nodeNs || topics.has(messageTopic(one.id))) continue
        deferrals.push(this.#deferral(messageId, one))
      }
    }
    return deferrals
  }

  /** Of one account. Each conversation is read once, however many they are. */
  async #late(
    address: Address,
    installations: readonly KnownInstallation[],
  ): Promise<readonly Deferral[]> {
    const sinceNs = earliest(installations.map(({ firstSeenNs }) => firstSeenNs))
    const { conversationList } = this.#parts
    const late = await publishedSince(this.#context, conversationList, address, sinceNs)
    const deferrals: Deferral[] = []
    for (const one of late.length > 0 ? installations : []) {
      const got = await this.#messagesTo(one.id)
      for (const { messageId, nodeNs } of late) {
        if (nodeNs <= one.firstSeenNs || got.has(messageId)) continue
        deferrals.push(this.#deferral(messageId, one))
      }
    }
    return deferrals
  }

  /** Messages that were already sent to an installation, or are deferred for it. */
  async #messagesTo(id: InstallationId): Promise<ReadonlySet<string>> {
    const deferred = [...this.#deferrals.values()].filter(({ to }) => to === id)
    const sent = await messagesSentTo(this.#context.store, id)
    return new Set([...sent, ...deferred.map(({ messageId }) => messageId)])
  }

  #deferral(messageId: string, { id, address }: KnownInstallation): Deferral {
    const { store, time } = this.#context
    const number = store.nextNumber(tables.owed)
    return { number, messageId, to: id, address, sinceMs: time.stampMs() }
  }

  /** Nothing more goes to this account. */
  denialChange(address: Address): Change {
    return this.#removalChange(
      [...this.#deferrals.values()].filter((deferral) => deferral.address === address),
    )
  }

  /** The connection was established or lost. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.retry()
  }

  /** Call this when an installation may have become reachable. */
  retry(): void {
    if (this.#deferrals.size > 0) this.#loop.wake()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** @returns how long to rest, in milliseconds */
  async #deliverAll(): Promise<number> {
    if (!this.#isLive || this.#deferrals.size === 0) return hourMs
    await this.#dropOld()
    const { directory } = this.#parts
    const waiting = new Map<InstallationId, Deferral[]>()
    for (const deferral of this.#deferrals.values()) {
      const others = waiting.get(deferral.to)
      if (others) others.push(deferral)
      else waiting.set(deferral.to, [deferral])
    }
    for (const [id, deferrals] of waiting) {
      const [first] = deferrals
      if (!first) continue
      const recipient = (await directory.recipients(first.address)).find((one) => one.id === id)
      const known = (await directory.account(first.address)).get(id)
      if (recipient) await this.#deliver(recipient, deferrals)
      else if (known && known.revokedNs > 0n) await this.#drop(deferrals)
    }
    return hourMs
  }

  /** Sends the messages deferred for one installation, as far as it can be encrypted to. */
  async #deliver(recipient: KnownInstallation, deferrals: readonly Deferral[]): Promise<void> {
    const { fanout, queue } = this.#parts
    // Once there is room again, it goes on.
    for (let left = deferrals; left.length > 0 && !queue.isCrowded; ) {
      const count = await fanout.runExclusive(() => this.#deliverFirst(recipient, left))
      if (count === 0) return
      left = left.slice(count)
    }
  }

  /** @returns how many of them are in the outbox now */
  async #deliverFirst(
    recipient: KnownInstallation,
    deferrals: readonly Deferral[],
  ): Promise<number> {
    const { fanout, dispatch } = this.#parts
    const fresh = await fanout.prepare([recipient])
    return this.#context.ratchetLock.runExclusive(async () => {
      if (fanout.reachable([recipient], fresh).length === 0) return 0
      const most = Math.min(maxAtOnce, fanout.sendsLeft(recipient, fresh))
      const { messages, done } = await this.#read(recipient, deferrals.slice(0, most))
      const isSent = await dispatch.send(messages, { fresh }, this.#removalChange(done))
      return isSent ? done.length : 0
    })
  }

  /** Reads the messages of the first deferrals, as many as may be sent at a time. */
  async #read(recipient: KnownInstallation, deferrals: readonly Deferral[]) {
    const messages: Outgoing[] = []
    const done: Deferral[] = []
    let bytes = 0
    for (const deferral of deferrals) {
      const { messageId } = deferral
      const row = await this.#context.store.get(tables.messages, messageId)
      bytes += row?.value.content.length ?? 0
      if (bytes > maxBytesAtOnce && messages.length > 0) break
      done.push(deferral)
      if (!row || row.value.deleted) continue
      messages.push({
        messageId,
        conversationId: row.value.conversationId as ConversationId,
        content: row.value.content,
        composedNs: row.value.composedNs,
        recipients: [recipient],
      })
    }
    return { messages, done }
  }

  async #dropOld(): Promise<void> {
    const { store, time } = this.#context
    const oldestMs = time.passedMs() - redeliveryMs
    const all = [...this.#deferrals.values()]
    const ahead = all.filter(({ sinceMs }) => time.isStartAhead(sinceMs))
    if (ahead.length > 0) {
      const dated = ahead.map((deferral) => ({ ...deferral, sinceMs: time.stampMs() }))
      await commit(store, this.#storedChange(dated))
    }
    const excess = all.length - maxDeferrals
    const old = all.filter(({ sinceMs }, at) => sinceMs < oldestMs || at < excess)
    if (old.length > 0) await this.#drop(old)
  }

  #drop(deferrals: readonly Deferral[]): Promise<void> {
    return commit(this.#context.store, this.#removalChange(deferrals))
  }

  #storedChange(deferrals: readonly Deferral[]): Change {
    return {
      writes: deferrals.map(deferralWrite),
      committed: () => {
        for (const deferral of deferrals) this.#deferrals.set(deferral.number, deferral)
      },
    }
  }

  #removalChange(deferrals: readonly Deferral[]): Change {
    return {
      writes: deferrals.map(({ number }) => remove(tables.owed, number)),
      committed: () => {
        for (const { number } of deferrals) this.#deferrals.delete(number)
      },
    }
  }
}

const deferralWrite = ({ number, messageId, to, address, sinceMs }: Deferral): Write =>
  put(tables.owed, number, {
    messageId,
    installationId: to,
    address,
    sinceMs: BigInt(sinceMs),
  })

const earliest = (times: readonly bigint[]): bigint =>
  times.reduce((least, time) => (time < least ? time : least))
