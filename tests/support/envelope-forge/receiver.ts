/**
 * One installation that receives, and nothing else of it running: its real inbox on a real store and
 * a real node, fed batch by batch, so that each envelope's outcome and every row it changed are seen.
 */

import { noChains } from '../../../src/chains/chains.ts'
import type { InboxListener } from '../../../src/engine/receiving/inbox.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import 'fake-indexeddb/auto'
import { onTestFinished } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import type { Curves } from '../../../src/crypto/crypto.ts'
import { findCurves } from '../../../src/crypto/webcrypto.ts'
import { assemble } from '../../../src/engine/assembly.ts'
import type { HeadsClaim } from '../../../src/engine/membership/heads.ts'
import type { ClientEvent } from '../../../src/engine/model.ts'
import type { RetransmitRequest } from '../../../src/engine/retransmission/responder.ts'
import type { Context } from '../../../src/engine/runtime/context.ts'
import { Mutex } from '../../../src/engine/runtime/mutex.ts'
import { NodeTime } from '../../../src/engine/runtime/node-time.ts'
import { StatusBoard } from '../../../src/engine/runtime/status.ts'
import { Sessions } from '../../../src/engine/sessions/sessions.ts'
import { PadlockError, type PadlockErrorCode } from '../../../src/errors.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import { browserPlatform } from '../../../src/platform/browser.ts'
import { type Address, type InstallationId, parseAddress } from '../../../src/protocol/ids.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { openIdbStore } from '../../../src/store/idb.ts'
import type { Store } from '../../../src/store/store.ts'
import { must, passed } from '../checked.ts'
import { anAccount, freshDatabase } from '../engine.ts'
import { storeWithTransaction } from '../store-with-transaction.ts'
import { crypto } from './basics.ts'
import type { Line, Sender, Target } from './forge.ts'
import { beginLine, establishLine } from './lines.ts'
import { register } from './registration.ts'
import { changesBetween, type Rows, readRows } from './rows.ts'
import { makeSender } from './sender.ts'

const platformCurves = await findCurves(crypto)

/**
 * In 2084: after all that the test's own node takes in by its clock, such as revocations. Between any
 * two node times of a receiver there is room for others.
 */
export const firstNodeNs = 3_600_000_000_000_000_000n
export const nodeStepNs = 1_000n

/** What one batch came to. */
export interface Delivery {
  /** `kept`, `parked`, `duplicate`, `unsupported_version`, or `rejected(code)` and the like, sorted. */
  readonly outcomes: readonly string[]
  /** See `changesBetween`. */
  readonly changes: readonly string[]
  /** Transactions that wrote. */
  readonly transactions: number
  /** Queries to the node. */
  readonly queries: number
  /** What was asked for; only noted here, not answered. */
  readonly requests: readonly RetransmitRequest[]
  readonly claims: readonly HeadsClaim[]
}

/** What is delivered: the bytes, or the bytes with the node's word on them. */
export type Delivered =
  | Uint8Array
  | { readonly message: Uint8Array; readonly sequence?: bigint; readonly nodeNs?: bigint }

export interface ReceiverOptions {
  /** Whether WebCrypto does the curves, as in a browser, or wasm. */
  readonly curves?: boolean
  /** Whether senders are among the topics of the subscription; else each is looked up. */
  readonly followed?: boolean
}

export type Receiver = Awaited<ReturnType<typeof aReceiver>>

/** As `openReceiver`, until the test ends. */
export const aReceiver = async (options: ReceiverOptions = {}) => {
  const receiver = await openReceiver(options)
  onTestFinished(() => receiver.close())
  return receiver
}

/** A node, an installation that is registered there, and its inbox. */
export const openReceiver = async (options: ReceiverOptions = {}) => {
  const node = createInProcessNode()
  const real = networkOver(node.transport)
  let queries = 0
  const asked: Address[][] = []
  const control = { isDown: false, failWrites: 0, aheadMs: 0 }
  const network: Network = {
    ...real,
    query: (topics, signal) => {
      queries += 1
      asked.push(
        topics.flatMap(({ topic }) =>
          topic.startsWith('contact-')
            ? [passed(parseAddress(topic.slice('contact-'.length)))]
            : [],
        ),
      )
      if (control.isDown) return Promise.reject(new PadlockError('unavailable'))
      return real.query(topics, signal)
    },
  }
  const platform = {
    ...browserPlatform,
    nowMs: () => browserPlatform.nowMs() + control.aheadMs,
    monotonicMs: () => browserPlatform.monotonicMs() + control.aheadMs,
  }
  const database = freshDatabase()
  const wallet = anAccount()
  const address = passed(parseAddress(wallet.address))
  const curves: Curves | undefined = options.curves === false ? undefined : must(platformCurves)

  let transactions = 0
  const openStore = async (): Promise<Store> => {
    const store = await openIdbStore(database, crypto, () => undefined)
    return storeWithTransaction(store, (reads, step, durability, writesTo) => {
      transactions += 1
      if (control.failWrites > 0) {
        control.failWrites -= 1
        return Promise.reject(new PadlockError('storage_failed'))
      }
      return store.transaction(reads, step, durability, writesTo)
    })
  }

  const events: ClientEvent[] = []
  const requests: RetransmitRequest[] = []
  const claims: HeadsClaim[] = []
  const heard: InstallationId[] = []
  const unverified: (readonly Address[])[] = []
  const followed = new Set<Address>([address])
  const closing = new AbortController()

  const start = async () => {
    const store = await openStore()
    const time = new NodeTime(platform)
    const surroundings = { crypto, curves, store, network, platform, time }
    const context: Context = {
      ...surroundings,
      account,
      status: new StatusBoard((event) => events.push(event)),
      ratchetLock: new Mutex(),
      closing: closing.signal,
      emit: (event) => events.push(event),
    }
    const observe = (): InboxListener => ({
      onUnverified: (addresses) => unverified.push(addresses),
      onParked: () => undefined,
      onAuthentic: ({ id }) => heard.push(id),
      onHeads: (heard) => claims.push(...heard),
      requestsChange: (asked) => {
        requests.push(...asked)
        return { writes: [] }
      },
    })
    return { store, context, ...(await assemble(context, noChains, observe)) }
  }
  const wire = async (parts: Awaited<ReturnType<typeof start>>) => {
    parts.directory.coverage.follow(followed)
    await parts.inbox.begin()
    return parts
  }

  const first = await openStore()
  const { account, secrets, oneTime, fallbacks } = await register(real, first, wallet)
  await first.close()
  let parts = await wire(await start())
  const target: Target = {
    address,
    id: account.installationId,
    keys: account.keys,
    sealingKeys: secrets.map(({ publicKey }) => publicKey),
  }
  const unused = oneTime.map(({ publicKey }) => publicKey)
  const fallback = must(fallbacks[0]).publicKey
  let sequence = 0n

  const rows = (): Promise<Rows> => readRows(database)

  /** What `work` came to, of so many envelopes. */
  const watch = async (count: number, work: () => Promise<unknown>): Promise<Delivery> => {
    const before = await rows()
    const seen = { events: events.length, requests: requests.length, claims: claims.length }
    ;[transactions, queries] = [0, 0]
    await work()
    const after = await rows()
    const size = (one: Rows, store: string) => one.get(store)?.size ?? 0
    const outcomes: string[] = []
    for (const event of events.slice(seen.events)) {
      if (event.kind !== 'envelopes') continue
      const name =
        event.outcome === 'rejected' || event.outcome === 'undecryptable'
          ? `${event.outcome}(${event.code})`
          : event.outcome
      outcomes.push(...Array.from({ length: event.count }, () => name))
    }
    const news = size(after, 'messages') - size(before, 'messages')
    outcomes.push(...Array.from({ length: news }, () => 'kept'))
    const parked = size(after, 'parked') - size(before, 'parked')
    if (parked > 0) outcomes.push(...Array.from({ length: parked }, () => 'parked'))
    // What was parked before, and what an internal message says nothing of.
    for (let rest = outcomes.length; rest < count; rest += 1) outcomes.push('nothing')
    return {
      outcomes: outcomes.sort(),
      changes: changesBetween(before, after),
      transactions,
      queries,
      requests: requests.slice(seen.requests),
      claims: claims.slice(seen.claims),
    }
  }

  /** One batch, numbered behind what came before unless it says otherwise. */
  const deliver = (...batch: readonly Delivered[]): Promise<Delivery> =>
    watch(batch.length, () => take(batch))

  /** As `deliver`, without a look at every row. */
  const take = async (batch: readonly Delivered[]): Promise<void> => {
    const envelopes = batch.map((one) => {
      const given = one instanceof Uint8Array ? { message: one } : one
      const at = given.sequence ?? sequence + 1n
      if (at > sequence) sequence = at
      return {
        message: given.message,
        sequence: at,
        nodeNs: given.nodeNs ?? firstNodeNs + at * nodeStepNs,
      }
    })
    await parts.inbox.commit(await parts.inbox.prepare(envelopes))
  }

  const publish = (topic: string, message: Uint8Array) => real.publish([{ topic, message }])

  /** The subscription carries this account's topics from now on. */
  const follow = (one: Address): void => {
    followed.add(one)
    parts.directory.coverage.follow(followed)
  }

  const receiver = {
    target,
    account,
    wallet,
    nextSequence: () => sequence + 1n,
    database,
    node,
    network: real,
    control,
    /** Every one-time prekey that was not taken yet. */
    unused,
    fallback,
    events,
    /** Who was found to have signed something, once a batch. */
    heard,
    /** Whose chains were asked for, once a batch. */
    unverified,
    get parts() {
      return parts
    },
    get store() {
      return parts.store
    },
    /** Addresses of each query to the node. */
    asked,
    rows,
    watch,
    deliver,
    take,
    /** Forgets what was noted of all deliveries. */
    forget: () => {
      for (const noted of [events, requests, claims, heard, unverified, asked]) noted.length = 0
    },
    close: async () => {
      closing.abort()
      await parts.store.close()
      await node.close()
    },
    publish,
    /** Closes the database and opens it again, with everything that was in memory gone. */
    reopen: async () => {
      await parts.store.close()
      parts = await wire(await start())
    },
    follow,
    live: () => parts.context.status.setState('live'),
    workOff: () => watch(0, () => parts.parkedSenders.workOff()),
    countOf: (code: PadlockErrorCode): number =>
      parts.context.status.current.warnings.find((warning) => warning.code === code)?.count ?? 0,
    /** A peer that is granted and published; known here unless told otherwise. */
    sender: async (
      how: {
        readonly wallet?: ReturnType<typeof anAccount>
        readonly unknown?: boolean
        /** Whether the person never accepted the account. */
        readonly stranger?: boolean
      } = {},
    ) => {
      const made = await makeSender(how.wallet ?? anAccount())
      await publish(contactTopic(made.sender.address), made.bundle)
      if (!how.stranger) {
        const { consents } = parts
        await consents.set(made.sender.address, 'allowed', (change) => commit(parts.store, change))
      }
      if (how.unknown) return made.sender
      await parts.directory.reread(made.sender.address)
      if (options.followed !== false) follow(made.sender.address)
      return made.sender
    },
    /** A session from this sender, begun with a one-time key of this installation if none is named. */
    begin: (from: Sender, prekey: Uint8Array = must(unused.shift()), to: Target = target): Line =>
      beginLine(from, prekey, to),
    /**
     * A session that this installation began and the sender has read from. To be made before anything
     * of that sender was delivered.
     */
    established: async (from: Sender): Promise<Line> => {
      const { session, line } = establishLine(from, account.identity, target)
      await commit(parts.store, new Sessions(parts.store).statesChange([session]))
      return line
    },
  }
  // The cursor's row is there from now on, so that it is always written again.
  await deliver(new Uint8Array())
  return receiver
}
