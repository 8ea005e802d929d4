/** One seed, from the first timer to the verdict. Once a process: it takes the platform's time and chance away. */
import 'fake-indexeddb/auto'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { loadWasmCrypto } from '../../src/crypto/wasm.ts'
import { dayMs } from '../../src/protocol/limits.ts'
import { dumpDatabases } from '../store/dump.ts'
import type { Evidence } from './evidence.ts'
import { Journal } from './journal.ts'
import { liveQuietly } from './quiet-day.ts'
import { judgeQuietDay, type QuietFigures } from './quiet-verdict.ts'
import { Random } from './random.ts'
import { liveThrough } from './scenario.ts'
import type { Figures } from './shown.ts'
import type { StoreSizes } from './store-names.ts'
import { judgeStores } from './stores.ts'
import { replaceSurroundings } from './surroundings.ts'
import { judge } from './verdict.ts'
import { VirtualTime } from './virtual-time.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly seed: number
  /** SHA-256 of everything that was noted, and of all that lies in the databases. */
  readonly digest: string
  readonly problems: readonly string[]
  readonly faults: Readonly<Record<string, number>>
  readonly figures: Figures
  readonly sizes: StoreSizes
  readonly devices: number
  readonly messages: number
  readonly virtualMs: number
  readonly realMs: number
  readonly timers: number
  /** Of a quiet day. */
  readonly quiet?: QuietFigures
  /** Beside strangers: how many times as long honest messages took as without them. */
  readonly slowdown?: { readonly mean: number; readonly worst: number }
}

export interface RunOptions {
  readonly seed: number
  /** Hears every line of the journal. */
  readonly listen?: (line: string) => void
  /** Gets all that leaves the programs. */
  readonly evidence?: Evidence
  /** Where the node keeps its data; in memory without one. */
  readonly nodeFile?: string
  /** A quiet day with so many strangers: see `WorldOptions`. */
  readonly strangers?: number
  /** How many times a day that quiet day lasts; if absent, it is a short one. */
  readonly days?: number
  /** What else happens in the morning, before the programs end. */
  readonly whileOpen?: (world: World) => Promise<void>
  /** What else happens when all have ended. Of the real world it may only ask what answers at once. */
  readonly afterwards?: () => Promise<void>
}

export const run = async (options: RunOptions): Promise<Outcome> => {
  const { seed, evidence, nodeFile, strangers, days, listen = () => undefined } = options
  const realNow = performance.now.bind(performance)
  const began = realNow()
  const wasm = await readFile(new URL('../../wasm/pkg/padlock.wasm', import.meta.url))
  const crypto = await loadWasmCrypto(new Uint8Array(wasm))
  const time = new VirtualTime()
  const journal = new Journal(time, listen)
  process.on('unhandledRejection', (reason) => {
    journal.problem(
      `an unhandled rejection: ${reason instanceof Error ? reason.stack : String(reason)}`,
    )
  })
  replaceSurroundings(time, new Random(seed, 'platform'), (bytes, isVaultKey) =>
    evidence?.secrets.addRandom(bytes, isVaultKey),
  )
  return time.drive(async () => {
    const world = new World(seed, { time, crypto, journal, evidence, nodeFile, strangers })
    const day = strangers === undefined ? undefined : await liveQuietly(world, days && days * dayMs)
    const sent = day ? day.sent : await liveThrough(world)
    const figures = await judge(world, sent)
    await options.whileOpen?.(world)
    const quiet = day && (await judgeQuietDay(world, day))
    for (const device of world.devices) await device.close()
    const sizes = await judgeStores(world)
    await world.close()
    await options.afterwards?.()
    const databases = createHash('sha256').update(await dumpDatabases())
    return {
      seed,
      digest: `${journal.digest} ${databases.digest('hex')}`,
      problems: journal.problems,
      faults: journal.faults,
      figures,
      sizes,
      devices: world.devices.length,
      messages: sent.length,
      virtualMs: time.nowMs,
      realMs: realNow() - began,
      timers: time.ran,
      ...(quiet && { quiet }),
    }
  })
}
