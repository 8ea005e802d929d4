/**
 * A long run of bad envelopes through the real receive path: one installation's inbox on a real store and a real
 * node, with strangers that it knows and one friend, whose messages must all arrive among the others.
 */

import 'fake-indexeddb/auto'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { tables } from '../../../src/store/tables.ts'
import { request } from '../../store/request.ts'
import { anAccount } from '../../support/accounts.ts'
import { set } from '../../support/envelope-forge/fields.ts'
import { forge, type Line, type Sender, textContent } from '../../support/envelope-forge/forge.ts'
import { openReceiver } from '../../support/envelope-forge/receiver.ts'
import { seededRandom } from '../../support/random.ts'
import { boundsOf } from './bounds.ts'
import { Envelopes, type Kind } from './envelopes.ts'

const strangersAccounts = 3
const installationsOfStranger = 3
/** As many envelopes as a client takes into a transaction. */
const batchSize = 200
/** Time that passes with each batch, on clocks in the campaign's hands. */
const batchMs = 60_000
/** What waits for look-ups is worked off after so many batches. */
const workOffEvery = 5

type Receiver = Awaited<ReturnType<typeof openReceiver>>

/** How many rows each store has. */
export type RowCounts = ReadonlyMap<string, number>

export class InboxCampaign {
  readonly #receiver: Receiver
  readonly #envelopes: Envelopes
  #friend: Line
  #batches = 0
  #friendly = 0
  readonly #outcomes = new Map<string, number>()
  readonly #kinds = new Map<Kind, number>()
  /** What must not happen. */
  readonly faults: string[] = []

  private constructor(receiver: Receiver, envelopes: Envelopes, friend: Line) {
    this.#receiver = receiver
    this.#envelopes = envelopes
    this.#friend = friend
  }

  static async begin(seed: number): Promise<InboxCampaign> {
    const receiver = await openReceiver()
    const senders: Sender[] = []
    for (let account = 0; account < strangersAccounts; account += 1) {
      const wallet = anAccount()
      for (let nth = 0; nth < installationsOfStranger; nth += 1) {
        senders.push(await receiver.sender({ wallet, stranger: true }))
      }
    }
    const friend = receiver.begin(await receiver.sender())
    const { target, fallback } = receiver
    const envelopes = new Envelopes(seededRandom(seed), { senders, target, fallback })
    receiver.live()
    return new InboxCampaign(receiver, envelopes, friend)
  }

  /** So many bad envelopes, and one of the friend's with each batch. */
  async run(count: number): Promise<void> {
    for (let done = 0; done < count; done += batchSize) {
      const made = Array.from({ length: Math.min(batchSize, count - done) }, () =>
        this.#envelopes.next(),
      )
      for (const { kind } of made) this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
      await this.#take([...made.map(({ message }) => message), this.#friendsNext()])
    }
  }

  async #take(batch: readonly Uint8Array[]): Promise<void> {
    const receiver = this.#receiver
    this.#batches += 1
    receiver.control.aheadMs += batchMs
    try {
      await receiver.take(batch)
      if (this.#batches % workOffEvery === 0) await receiver.parts.parkedSenders.workOff()
    } catch (error) {
      this.faults.push(`batch ${this.#batches}: ${error instanceof Error ? error.stack : error}`)
    }
    for (const event of receiver.events) {
      if (event.kind === 'envelopes') {
        const name = `${event.outcome} (${event.code})`
        this.#outcomes.set(name, (this.#outcomes.get(name) ?? 0) + event.count)
      }
      if (event.kind === 'status') {
        const defect = event.status.warnings.find(({ code }) => defects.has(code))
        if (defect) this.faults.push(`it warns of ${defect.code}`)
      }
    }
    receiver.forget()
  }

  #friendsNext(): Uint8Array {
    this.#friendly += 1
    const content = textContent(`friend ${this.#friendly}`)
    const composedNs = 1_800_000_000_000_000_000n + BigInt(this.#friendly)
    const { message, next } = forge(this.#friend, {
      payload: (fields) => set(5, composedNs)(set(4, content)(fields)),
    })
    this.#friend = next
    return message
  }

  /** Rows of each store; what is over its bound, and what the friend wrote and is not there, is a fault. */
  async check(): Promise<RowCounts> {
    const counts = await countRows(this.#receiver.database)
    const bounds = boundsOf({
      accounts: strangersAccounts,
      installations: strangersAccounts * installationsOfStranger,
      friendly: this.#friendly,
      batches: this.#batches,
    })
    for (const [store, count] of counts) {
      const bound = bounds[store] ?? 0
      if (count > bound) this.faults.push(`${store} has ${count} rows, allowed are ${bound}`)
    }
    const id = buildConversationId(this.#friend.from.address, this.#receiver.target.address)
    const conversation = await this.#receiver.store.get(tables.conversations, id)
    if (conversation?.value.messages !== this.#friendly) {
      this.faults.push(
        `of ${this.#friendly} messages of a friend ${conversation?.value.messages ?? 0} are here`,
      )
    }
    return counts
  }

  /** What became of envelopes, most frequent first. */
  get outcomes(): readonly (readonly [string, number])[] {
    return [...this.#outcomes].sort(([, a], [, b]) => b - a)
  }

  get kinds(): ReadonlyMap<Kind, number> {
    return this.#kinds
  }

  close(): Promise<void> {
    return this.#receiver.close()
  }
}

/** No envelope brings these about. */
const defects: ReadonlySet<string> = new Set(['internal', 'storage_failed', 'storage_damaged'])

const countRows = async (name: string): Promise<RowCounts> => {
  const database = await request(indexedDB.open(name))
  const counts = new Map<string, number>()
  for (const store of database.objectStoreNames) {
    counts.set(store, await request(database.transaction(store).objectStore(store).count()))
  }
  database.close()
  return counts
}
