/**
 * Takes real time and real chance out of this process: timers, clocks and random bytes of the
 * platform come from the virtual time and from the seed. For a process that simulates and does nothing else.
 */
import nodeCrypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import nodeTimers from 'node:timers/promises'
import { gunzipSync, inflateSync } from 'node:zlib'
import type { Random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

/** Where the true wall clock stands at the beginning. */
export const startMs = Date.UTC(2026, 10, 20, 8)

/** What runs again and again, such as a node's cleaning up, does so at most this often. */
const shortestIntervalMs = 30 * 60_000
/** One task of the database, on average half of it. */
const taskMs = 0.2

/** @param hear hears of all bytes that are drawn by chance */
export const replaceSurroundings = (
  time: VirtualTime,
  random: Random,
  hear: (bytes: Uint8Array, isVaultKey: boolean) => void = () => undefined,
): void => {
  const nowMs = () => startMs + time.nowMs
  replaceTimers(time, random)
  replaceClocks(time, nowMs)
  const draw = (length: number, isVaultKey = false) => {
    const bytes = random.bytes(length)
    hear(bytes, isVaultKey)
    return bytes
  }
  replaceChance(time, random, draw)
  replaceInflating()
  syncBuiltinESMExports()
}

const set = (target: object, name: string, value: unknown): void => {
  Object.defineProperty(target, name, { value, configurable: true, writable: true })
}

/** What Node's timers are to those who set them. */
class Handle {
  cancel: () => void
  constructor(cancel: () => void) {
    this.cancel = cancel
  }
  unref(): this {
    return this
  }
  ref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
}

const replaceTimers = (time: VirtualTime, random: Random): void => {
  const clear = (handle: unknown) => {
    if (handle instanceof Handle) handle.cancel()
  }
  const setOnce = (run: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) =>
    new Handle(time.after(Math.max(1, ms), () => run(...values)))
  const setAgain = (run: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) => {
    const next = () =>
      time.after(Math.max(shortestIntervalMs, ms), () => {
        handle.cancel = next()
        run(...values)
      })
    const handle = new Handle(next())
    return handle
  }
  const setTask = (run: (...values: unknown[]) => void, ...values: unknown[]) =>
    new Handle(time.task(random.fraction() * taskMs, () => run(...values)))
  set(globalThis, 'setTimeout', setOnce)
  set(globalThis, 'clearTimeout', clear)
  set(globalThis, 'setInterval', setAgain)
  set(globalThis, 'clearInterval', clear)
  set(globalThis, 'setImmediate', setTask)
  set(globalThis, 'clearImmediate', clear)
  set(nodeTimers, 'setImmediate', () => new Promise<void>((resolve) => setTask(() => resolve())))
}

const replaceClocks = (time: VirtualTime, nowMs: () => number): void => {
  const RealDate = Date
  class VirtualDate extends RealDate {
    constructor(...values: readonly unknown[]) {
      if (values.length === 0) super(Math.floor(nowMs()))
      else super(...(values as [number]))
    }
    static override now(): number {
      return Math.floor(nowMs())
    }
  }
  set(globalThis, 'Date', VirtualDate)
  set(performance, 'now', () => time.nowMs)
}

const replaceChance = (
  time: VirtualTime,
  random: Random,
  draw: (length: number, isVaultKey?: boolean) => Uint8Array<ArrayBuffer>,
): void => {
  const { subtle } = globalThis.crypto
  // One after the other, as a pool of threads answers in no order that could be repeated.
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> =>
    time.hold(() => {
      const result = last.then(work, work)
      last = result.catch(() => undefined)
      return result
    })
  const seeded = {
    getRandomValues: <T extends ArrayBufferView>(view: T): T => {
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(draw(view.byteLength))
      return view
    },
    subtle: {
      generateKey: (algorithm: { name: string }, extractable: boolean, usages: KeyUsage[]) =>
        inTurn(() => subtle.importKey('raw', draw(32, true), algorithm.name, extractable, usages)),
      encrypt: (algorithm: AesGcmParams, key: CryptoKey, data: BufferSource) =>
        inTurn(() => subtle.encrypt(algorithm, key, data)),
      decrypt: (algorithm: AesGcmParams, key: CryptoKey, data: BufferSource) =>
        inTurn(() => subtle.decrypt(algorithm, key, data)),
    },
  }
  set(globalThis, 'crypto', seeded)
  set(nodeCrypto, 'randomBytes', (length: number) => Buffer.from(draw(length)))
  set(Math, 'random', () => random.fraction())
}

/** Inflating is another thread's work, which time would not wait for: here it is done at once. */
const replaceInflating = (): void => {
  const chunkBytes = 65_536
  class Parts {
    readonly #parts: readonly Uint8Array[]
    constructor(parts: readonly Uint8Array[]) {
      this.#parts = parts
    }
    stream(): ReadableStream<Uint8Array> {
      return new ReadableStream({
        start: (controller) => {
          for (const part of this.#parts) controller.enqueue(part)
          controller.close()
        },
      })
    }
  }
  class Inflating extends TransformStream<Uint8Array, Uint8Array> {
    constructor(format: string) {
      const inflateAll = format === 'gzip' ? gunzipSync : inflateSync
      super({
        transform: (chunk, controller) => {
          const bytes = inflateAll(chunk)
          for (let at = 0; at < bytes.length; at += chunkBytes) {
            controller.enqueue(bytes.subarray(at, at + chunkBytes))
          }
        },
      })
    }
  }
  set(globalThis, 'Blob', Parts)
  set(globalThis, 'DecompressionStream', Inflating)
}
