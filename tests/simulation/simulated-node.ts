/** The real node on virtual time: its program is restarted, its data is backed up and put back. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Transport } from '@connectrpc/connect'
import { renewSqliteId } from '../../node/src/commands/renew-id.ts'
import { createLog, observeByLog } from '../../node/src/observe/log.ts'
import { type Observer, observeAll, silentObserver } from '../../node/src/observe/observer.ts'
import { createInProcessNode, type InProcessNode, serveInProcess } from '../../node/src/testing.ts'
import { networkOver } from '../../src/network/connect.ts'
import type { Network } from '../../src/network/network.ts'
import type { Chaos } from './chaos.ts'
import type { Evidence } from './evidence.ts'
import type { Features } from './features.ts'
import type { Journal } from './journal.ts'
import { startMs } from './surroundings.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface SimulatedNodeOptions {
  readonly time: VirtualTime
  readonly journal: Journal
  readonly chaos: Chaos
  readonly features: Features
  readonly evidence?: Evidence | undefined
  /** Where it keeps its data; in memory without one. */
  readonly file?: string | undefined
}

export class SimulatedNode {
  readonly #options: SimulatedNodeOptions
  readonly #observer: Observer
  readonly #folder: string | undefined
  readonly #file: string
  #node: InProcessNode
  #isUp = true
  #aheadMs = 0
  #backupNs: bigint | undefined
  /** Node times between a backup and its return: what was stored then is gone. */
  readonly lost: { readonly fromNs: bigint; readonly toNs: bigint }[] = []

  constructor(options: SimulatedNodeOptions) {
    this.#options = options
    const { features, file } = options
    this.#folder = features.hasNodeRestores
      ? mkdtempSync(join(tmpdir(), 'padlock-node-'))
      : undefined
    this.#file = file ?? (this.#folder ? join(this.#folder, 'node.sqlite') : ':memory:')
    this.#observer = observe(options)
    this.#node = this.#open()
  }

  #open(): InProcessNode {
    return createInProcessNode({
      file: this.#file,
      clock: () => this.nowNs,
      observer: this.#observer,
    })
  }

  get nowNs(): bigint {
    const { time } = this.#options
    return BigInt(Math.floor(startMs + time.nowMs + this.#aheadMs)) * 1_000_000n
  }

  readonly transport = (): Transport | undefined => (this.#isUp ? this.#node.transport : undefined)

  /** What it stores. */
  get store(): InProcessNode['store'] {
    return this.#node.store
  }

  /** The node without weather. */
  get network(): Network {
    return networkOver(this.#node.transport)
  }

  /** Its program ends and comes back later on the same data. */
  async restart(downMs: number): Promise<void> {
    if (!this.#isUp) return
    this.#options.journal.fault('node restarted', `for ${Math.round(downMs / 1_000)} s`)
    this.#isUp = false
    this.#node.service.close()
    await this.#options.time.sleep(downMs)
    this.#node = serveInProcess(this.#node.store, { observer: this.#observer })
    this.#comeBack()
  }

  /** Its data is copied while it is down. */
  async backUp(): Promise<void> {
    if (!this.#isUp || this.#folder === undefined) return
    this.#options.journal.note('the node is backed up')
    this.#isUp = false
    await this.#node.close()
    copyFileSync(this.#file, join(this.#folder, 'backup.sqlite'))
    this.#backupNs = this.nowNs
    this.#node = this.#open()
    this.#comeBack()
  }

  /** The backup is put back, under a new id (docs/protocol.md section 10). */
  async restore(): Promise<void> {
    if (!this.#isUp || this.#folder === undefined || this.#backupNs === undefined) return
    this.#options.journal.fault('node restored', 'the node')
    this.#isUp = false
    await this.#node.close()
    copyFileSync(join(this.#folder, 'backup.sqlite'), this.#file)
    const database = new DatabaseSync(this.#file)
    renewSqliteId(database)
    database.close()
    this.lost.push({ fromNs: this.#backupNs, toNs: this.nowNs })
    this.#node = this.#open()
    this.#comeBack()
  }

  #comeBack(): void {
    this.#aheadMs = this.#options.chaos.nodeClockAheadMs()
    this.#isUp = true
    this.#options.journal.note(`the node is back, ${this.#aheadMs} ms ahead`)
  }

  async close(): Promise<void> {
    await this.#node.close()
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true })
  }
}

/** Its log as it is at its most talkative, and what should not happen in it. */
const observe = ({ evidence, journal }: SimulatedNodeOptions): Observer => {
  const defects: Observer = {
    ...silentObserver,
    storageFailed: (reason) => {
      // Whoever asks while it is going down.
      if (reason !== 'the store is closed') journal.problem(`the node's store failed: ${reason}`)
    },
    defect: (where) => journal.problem(`a defect of the node: ${where}`),
  }
  if (!evidence) return defects
  const write = (line: string) => evidence.addText('lines', line)
  return observeAll(observeByLog(createLog({ level: 'debug', destination: { write } })), defects)
}
