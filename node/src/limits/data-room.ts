/**
 * What all strangers together may put on the disk, however many they are. When little is left, the node
 * takes no new keys, which it would keep for ever, and goes on with mail; when next to nothing is left, it
 * takes revocations only. What retention drops makes room again.
 */
import type { Occupancy } from '../store/store.ts'

/** `little` is left, or `none`; otherwise there is `enough`. */
export type Room = 'enough' | 'little' | 'none'

/** The smaller of an amount and a part of all: a small disk has room for little, a large one needs not more. */
interface Reserve {
  readonly bytes: number
  readonly part: number
}

const littleLeft: Reserve = { bytes: 2 * 1024 ** 3, part: 1 / 10 }
const noneLeft: Reserve = { bytes: 512 * 1024 ** 2, part: 1 / 40 }
/** How often the store is asked; what comes in meanwhile is a fraction of the reserve. */
const everyMs = 10_000

/** @param limitBytes what the data may take; if absent, what the store has room for. */
export function roomFor(
  { usedBytes, freeBytes = Number.POSITIVE_INFINITY }: Occupancy,
  limitBytes: number | undefined,
): Room {
  const free = Math.min((limitBytes ?? Number.POSITIVE_INFINITY) - usedBytes, freeBytes)
  const isBelow = ({ bytes, part }: Reserve): boolean =>
    free < Math.min(bytes, (usedBytes + Math.max(0, free)) * part)
  return isBelow(noneLeft) ? 'none' : isBelow(littleLeft) ? 'little' : 'enough'
}

export interface DataRoomOptions {
  readonly measure: () => Promise<Occupancy>
  readonly limitBytes?: number | undefined
  /** Callers that are never refused; by default none. */
  readonly exempt?: ((caller: string) => boolean) | undefined
  readonly onChange?: ((room: Room) => void) | undefined
}

export class DataRoom {
  readonly #options: DataRoomOptions
  readonly #timer: NodeJS.Timeout
  #room: Room = 'enough'
  #usedBytes = 0

  constructor(options: DataRoomOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.look(), everyMs)
    this.#timer.unref()
  }

  get room(): Room {
    return this.#room
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Asks the store. What cannot be measured changes nothing: the store says itself that it failed. */
  async look(): Promise<void> {
    const { measure, limitBytes, onChange } = this.#options
    const measured = await measure().catch(() => undefined)
    if (measured === undefined) return
    this.#usedBytes = measured.usedBytes
    const room = roomFor(measured, limitBytes)
    const isNews = room !== this.#room
    this.#room = room
    if (isNews) onChange?.(room)
  }

  /** Whether one of these envelopes is refused now. */
  refuses(caller: string, envelopes: readonly { readonly topic: string }[]): boolean {
    if (this.#room === 'enough' || this.#options.exempt?.(caller) === true) return false
    const takesMail = this.#room === 'little'
    return envelopes.some(({ topic }) =>
      takesMail ? topic.startsWith('contact-') : !topic.startsWith('revoked-'),
    )
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
