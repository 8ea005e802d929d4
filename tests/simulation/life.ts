/**
 * One run of an installation's program, from its start to its end. When it crashes nothing of it goes
 * on: whatever it waits for never comes, whatever it still asks for is never done.
 */
import type { Network } from '../../src/network/network.ts'
import type { Platform } from '../../src/platform/platform.ts'
import type { Store } from '../../src/store/store.ts'
import type { Chaos } from './chaos.ts'

const never = new Promise<never>(() => undefined)

export class Life {
  readonly #name: string
  readonly #chaos: Chaos
  readonly #onCrash: () => void
  #isOver = false
  /** It crashes right after so many storage transactions. */
  #commitsLeft: number
  #hadFaults = false
  #recordsRead = 0

  constructor(name: string, chaos: Chaos, onCrash: () => void) {
    this.#name = name
    this.#chaos = chaos
    this.#commitsLeft = chaos.commitsOfALife()
    this.#onCrash = onCrash
  }

  /** Whether its storage failed at some time. */
  get hadFaults(): boolean {
    return this.#hadFaults
  }

  /** Records that its program read from the storage. */
  get recordsRead(): number {
    return this.#recordsRead
  }

  get isOver(): boolean {
    return this.#isOver
  }

  crash(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onCrash()
  }

  /** No crash any more: what is over stays so. */
  spare(): void {
    this.#commitsLeft = Number.POSITIVE_INFINITY
  }

  /** The result, unless it is over by then. */
  async still<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isOver) return never
    try {
      const result = await work()
      return this.#isOver ? await never : result
    } catch (error) {
      if (this.#isOver) return never
      throw error
    }
  }

  committed(): void {
    this.#commitsLeft -= 1
    if (this.#commitsLeft <= 0) this.crash()
  }

  /** An operation of the storage, which may fail before it did anything. */
  #access<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isOver) return never
    const fault = this.#chaos.storageFault(this.#name)
    if (fault) this.#hadFaults = true
    return this.still(fault ? () => Promise.reject(fault) : work)
  }

  async *#pages<T extends readonly unknown[]>(pages: AsyncGenerator<T>): AsyncGenerator<T> {
    for (;;) {
      const next = await this.#access(() => pages.next())
      if (next.done) return
      yield this.#read(next.value)
    }
  }

  #read<T extends readonly unknown[]>(rows: T): T {
    this.#recordsRead += rows.length
    return rows
  }

  store(real: Store): Store {
    return {
      get: (table, key) => {
        this.#recordsRead += 1
        return this.#access(() => real.get(table, key))
      },
      list: (table, options) =>
        this.#access(async () => this.#read(await real.list(table, options))),
      all: (table) => this.#access(async () => this.#read(await real.all(table))),
      pages: (table, group) => this.#pages(real.pages(table, group)),
      scan: (table, options) =>
        this.#access(async () => {
          const page = await real.scan(table, options)
          this.#read(page.rows)
          return page
        }),
      nextNumber: (table) => real.nextNumber(table),
      transaction: (reads, step, durability, writesTo) =>
        this.#access(async () => {
          this.#recordsRead += reads.length
          const result = await real.transaction(reads, step, durability, writesTo)
          this.committed()
          return result
        }),
      close: () => real.close(),
    }
  }

  network(real: Network): Network {
    const life = this
    return {
      getInfo: (signal) => this.still(() => real.getInfo(signal)),
      publish: (envelopes, signal) => this.still(() => real.publish(envelopes, signal)),
      query: (topics, signal) => this.still(() => real.query(topics, signal)),
      claimPrekeys: (claimId, ids, signal) =>
        this.still(() => real.claimPrekeys(claimId, ids, signal)),
      async *subscribe(topics, proof, signal) {
        const frames = real.subscribe(topics, proof, signal)[Symbol.asyncIterator]()
        try {
          for (;;) {
            const next = await life.still(() => frames.next())
            if (next.done) return
            yield next.value
          }
        } finally {
          await frames.return?.()
        }
      },
    }
  }

  platform(real: Platform): Platform {
    return {
      ...real,
      wait: (ms, signal) => this.still(() => real.wait(ms, signal)),
    }
  }
}
