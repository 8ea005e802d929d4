/**
 * What a single part of the engine is given, without the others: real wasm, a real store on
 * fake-indexeddb, a clock that the test turns, and a network that answers nothing until told to.
 */
import { onTestFinished } from 'vitest'
import { Consents } from '../../src/engine/consent/consents.ts'
import {
  Directory,
  type DirectoryListener,
  type KnownInstallation,
} from '../../src/engine/membership/directory.ts'
import { Heads } from '../../src/engine/membership/heads.ts'
import { PendingVerifications } from '../../src/engine/membership/pending-verification.ts'
import { directConversation } from '../../src/engine/messages/audience.ts'
import { ConversationList } from '../../src/engine/messages/conversation-list.ts'
import { Conversations } from '../../src/engine/messages/conversations.ts'
import { historyPage } from '../../src/engine/messages/history.ts'
import { MessageStates } from '../../src/engine/messages/message-states.ts'
import { MessageStream } from '../../src/engine/messages/message-stream.ts'
import type { ClientEvent } from '../../src/engine/model.ts'
import { type Change, commit, joinChanges } from '../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../src/engine/runtime/context.ts'
import { Cursors } from '../../src/engine/runtime/cursors.ts'
import { Mutex } from '../../src/engine/runtime/mutex.ts'
import { NodeTime } from '../../src/engine/runtime/node-time.ts'
import { StatusBoard } from '../../src/engine/runtime/status.ts'
import { Composer } from '../../src/engine/sending/composer.ts'
import { DeferredDelivery } from '../../src/engine/sending/deferred.ts'
import { Dispatch } from '../../src/engine/sending/dispatch.ts'
import { Fanout, type FanoutMessage } from '../../src/engine/sending/fanout.ts'
import { Outbox } from '../../src/engine/sending/outbox.ts'
import type { OutboxEntry } from '../../src/engine/sending/outbox-entry.ts'
import { OutboxQueue } from '../../src/engine/sending/outbox-queue.ts'
import { Publishing, type PublishingParts } from '../../src/engine/sending/publishing.ts'
import { Sealing } from '../../src/engine/sending/sealing.ts'
import type { Session } from '../../src/engine/sessions/session-rules.ts'
import { Sessions } from '../../src/engine/sessions/sessions.ts'
import type { PadlockError } from '../../src/errors.ts'
import type { ClaimedKey, Network } from '../../src/network/network.ts'
import type { Platform } from '../../src/platform/platform.ts'
import {
  type Address,
  type ConversationId,
  deriveInstallationId,
  type InstallationId,
} from '../../src/protocol/ids.ts'
import { prekeySigningBytes } from '../../src/protocol/signing-bytes.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { freshDatabase, loadTestCrypto } from './engine.ts'
import { storeWithTransaction } from './store-with-transaction.ts'

const crypto = await loadTestCrypto()

/** A transaction of the store: what it wrote, by object store, and whether it waited for the disk. */
export interface Committed {
  readonly tables: readonly string[]
  readonly durability: 'relaxed' | 'strict'
}

export interface PartWorld {
  readonly context: Context
  readonly clock: { nowMs: number; monotonicMs: number }
  readonly store: Store
  /** Every transaction that wrote something, in order. */
  readonly committed: Committed[]
  readonly events: ClientEvent[]
  /** Waits that the part is in now, in milliseconds. */
  readonly waits: readonly number[]
  /** Turns both clocks, and ends the waits that are over then. */
  turn(ms: number): void
  close(): void
}

const unused = async (): Promise<never> => {
  throw new Error('this network answers nothing')
}

const silentNetwork: Network = {
  getInfo: unused,
  publish: unused,
  query: unused,
  claimPrekeys: unused,
  subscribe: () => {
    throw new Error('this network answers nothing')
  },
}

let addresses = 0
/** An address that no other account of this process has. */
export const anAddress = (): Address =>
  `0x${(++addresses).toString(16).padStart(40, '0')}` as Address

/** A new installation's identity. */
export const aDevice = (address = anAddress()): Account => {
  const { identity, ...keys } = crypto.createIdentity()
  const id = deriveInstallationId(keys)
  if (!id.ok) throw new Error('keys are 32 bytes')
  return { address, installationId: id.value, keys, identity }
}

/** What the directory says of a device. */
export const known = (
  { address, installationId, keys }: Account,
  given: Partial<KnownInstallation> = {},
): KnownInstallation => {
  const [pair] = crypto.createKeyPairs(1)
  if (!pair) throw new Error('no key pair')
  return {
    address,
    id: installationId,
    keys,
    sealingKey: pair.publicKey,
    sealingCreatedNs: 1n,
    firstSeenNs: 1n,
    revokedNs: 0n,
    isPast: false,
    grant: 'valid',
    isDelegated: false,
    vouches: [],
    chainId: 0n,
    revokedChainId: 0n,
    contestedBy: [],
    state: 'valid',
    ...given,
  }
}

/** @param given what of the context is another; `database` opens one that was there before. */
export const aPartWorld = async (
  given: Partial<Context> & { readonly database?: string } = {},
): Promise<PartWorld> => {
  const clock = { nowMs: Date.UTC(2026, 10, 20), monotonicMs: 5_000 }
  const waiting = new Set<{
    readonly dueMs: number
    readonly ms: number
    readonly end: () => void
  }>()
  const platform: Platform = {
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.monotonicMs,
    randomBytes: (length) => globalThis.crypto.getRandomValues(new Uint8Array(length)),
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const one = {
          ms,
          dueMs: clock.nowMs + ms,
          end: () => {
            waiting.delete(one)
            resolve()
          },
        }
        waiting.add(one)
        signal?.addEventListener('abort', one.end, { once: true })
      }),
    takeLock: async () => undefined,
    onReturn: () => () => undefined,
  }
  const real = await openIdbStore(given.database ?? freshDatabase(), crypto, () => undefined)
  const committed: Committed[] = []
  const store: Store = storeWithTransaction(real, async (reads, step, durability, writesTo) => {
    let written: readonly string[] = []
    const result = await real.transaction(
      reads,
      (rows) => {
        const next = step(rows)
        written = next.writes.map(({ table }) => table.store)
        return next
      },
      durability,
      writesTo,
    )
    if (written.length > 0) {
      committed.push({ tables: written, durability: durability ?? 'relaxed' })
    }
    return result
  })
  const time = new NodeTime(platform)
  time.onNodeTime(BigInt(clock.nowMs) * 1_000_000n)
  const closing = new AbortController()
  const events: ClientEvent[] = []
  const emit = (event: ClientEvent) => {
    events.push(event)
  }
  onTestFinished(async () => {
    closing.abort()
    await real.close()
  })
  const { database: _, ...changed } = given
  return {
    clock,
    store,
    committed,
    events,
    get waits() {
      return [...waiting].map(({ ms }) => ms)
    },
    turn: (ms) => {
      clock.nowMs += ms
      clock.monotonicMs += ms
      for (const one of [...waiting]) if (one.dueMs <= clock.nowMs) one.end()
    },
    close: () => closing.abort(),
    context: {
      crypto,
      curves: undefined,
      store,
      network: silentNetwork,
      platform,
      time,
      account: aDevice(),
      status: new StatusBoard(emit),
      ratchetLock: new Mutex(),
      closing: closing.signal,
      emit,
      ...changed,
    },
  }
}

/** A prekey of this device as a node gives it to whoever claims one. */
export const aClaimedKey = ({ identity, installationId }: Account): ClaimedKey => {
  const [pair] = crypto.createKeyPairs(1)
  if (!pair) throw new Error('no key pair')
  const fields = { kind: 'one-time', installationId, createdNs: 1n, key: pair.publicKey } as const
  const [signature] = crypto.sign(identity, [prekeySigningBytes(fields)])
  if (!signature) throw new Error('no signature')
  return { installationId, prekey: { ...fields, signature } }
}

/** A directory that the test fills. */
class FilledDirectory extends Directory {
  readonly people = new Map<Address, readonly KnownInstallation[]>()
  /** Accounts whose topics were read again. */
  readonly rereads: Address[] = []
  onReread: (address: Address) => void = () => undefined

  override async account(
    address: Address,
  ): Promise<ReadonlyMap<InstallationId, KnownInstallation>> {
    return new Map((this.people.get(address) ?? []).map((one) => [one.id, one]))
  }

  override async recipients(address: Address): Promise<readonly KnownInstallation[]> {
    return (this.people.get(address) ?? []).filter(
      ({ state, revokedNs }) => state === 'valid' && revokedNs === 0n,
    )
  }

  /** Look-ups of accounts that no subscription covers fail with this. */
  refuse: PadlockError | undefined

  override async refresh(addresses: readonly Address[]): Promise<void> {
    const uncovered = addresses.some((address) => !this.coverage.isCovered(address))
    if (this.refuse && uncovered) throw this.refuse
  }

  override async reread(address: Address): Promise<void> {
    this.rereads.push(address)
    this.onReread(address)
  }
}

/** What was handed to `Fanout.seal`, in order. */
export interface SealCall {
  readonly messages: readonly FanoutMessage[]
  readonly fresh: ReadonlyMap<InstallationId, Session>
  readonly on: ReadonlyMap<InstallationId, Session>
}

/** A fan-out that seals and remembers what. */
class RecordingFanout extends Fanout {
  readonly calls: SealCall[] = []

  override seal(
    messages: readonly FanoutMessage[],
    fresh: ReadonlyMap<InstallationId, Session>,
    on: ReadonlyMap<InstallationId, Session> = new Map(),
  ) {
    this.calls.push({ messages, fresh, on })
    return super.seal(messages, fresh, on)
  }
}

/** A queue that keeps what it is given. */
class RecordingQueue extends OutboxQueue {
  readonly enqueued: OutboxEntry[] = []

  override entriesChange(entries: readonly OutboxEntry[]): Change {
    const recorded = { writes: [], committed: () => this.enqueued.push(...entries) }
    return joinChanges(super.entriesChange(entries), recorded)
  }
}

/** Conversations and their messages, with nobody denied or accepted yet. */
export const messageParts = (context: Context) => {
  const consents: Consents = new Consents(context, {
    consentChange: (address, consent) =>
      conversations.consentChange(directConversation(context.account.address, address), consent),
  })
  const stream = new MessageStream(context, consents)
  const conversations = new Conversations(context, consents, stream)
  const list = new ConversationList(context, consents)
  const accept = (address: Address) =>
    consents.set(address, 'allowed', (change) => commit(context.store, change))
  const history = (id: ConversationId, before: string | undefined, limit: number) =>
    historyPage(context, consents, id, before, limit)
  return { consents, stream, conversations, conversationList: list, accept, history }
}

/** Listens to a directory, and does no more than it must. */
export const quietDirectoryListener: DirectoryListener = {
  gained: (_, commit) => commit({ writes: [] }),
  onChange: () => undefined,
  onUnverified: () => undefined,
  awaitVerification: async () => undefined,
}

/** The parts that send, over a part world; nothing of it runs yet. */
export const sendingParts = (
  context: Context,
  isMissingAtNode: PublishingParts['isMissingAtNode'] = async () => false,
) => {
  const cursors = new Cursors(context.store)
  const pending = new PendingVerifications(context.store)
  const directory = new FilledDirectory(context, cursors, pending, quietDirectoryListener)
  const sessions = new Sessions(context.store)
  const heads = new Heads(context, cursors, directory)
  const fanout = new RecordingFanout(context, sessions, heads)
  const messages = messageParts(context)
  const { consents, conversations, conversationList, stream } = messages
  const queue = new RecordingQueue(context.store, context.platform, {
    onReady: () => outbox.wake(),
    onRoom: () => deferred.retry(),
  })
  const dispatch = new Dispatch(context, fanout, queue)
  const deferred = new DeferredDelivery(context, {
    directory,
    fanout,
    dispatch,
    queue,
    conversationList,
  })
  const composer = new Composer(context, { consents, conversations, stream, queue })
  const states = new MessageStates(context, consents)
  const sealing = new Sealing(context, directory, fanout, dispatch, () => 'unverified')
  const publishingParts = {
    ...{ queue, states, conversations, directory },
    ...{ cursors, deferred, isMissingAtNode },
  }
  const publishing = new Publishing(context, publishingParts)
  const outbox = new Outbox(context, { queue, composer, states, sealing, publishing })
  return {
    cursors,
    directory,
    sessions,
    heads,
    fanout,
    queue,
    dispatch,
    deferred,
    ...messages,
    composer,
    states,
    outbox,
  }
}
