/** The locks of one machine's tabs, which can be taken away, as a suspended tab's is. */
import type { HeldLock } from '../../src/platform/platform.ts'
import type { VirtualTime } from './virtual-time.ts'

interface Holding {
  readonly tellLost: () => void
}

export class Locks {
  readonly #time: VirtualTime
  #holder: Holding | undefined
  readonly #waiting = new Set<() => void>()

  constructor(time: VirtualTime) {
    this.#time = time
  }

  take(waitMs: number): Promise<HeldLock | undefined> {
    return new Promise((resolve) => {
      const attempt = () => {
        if (this.#holder) return
        this.#waiting.delete(attempt)
        cancel()
        resolve(this.#grant())
      }
      const cancel = this.#time.after(waitMs, () => {
        if (this.#waiting.delete(attempt)) resolve(undefined)
      })
      this.#waiting.add(attempt)
      attempt()
    })
  }

  #grant(): HeldLock {
    const lost = Promise.withResolvers<void>()
    const holding: Holding = { tellLost: lost.resolve }
    this.#holder = holding
    return {
      lost: lost.promise,
      release: () => {
        if (this.#holder === holding) this.free()
      },
    }
  }

  /** Frees the lock: whoever held it is gone. */
  free(): void {
    this.#holder = undefined
    const [next] = this.#waiting
    next?.()
  }

  /** Takes the lock away from its holder, who learns of it later: until then both believe to have it. */
  steal(tellAfterMs: number): void {
    const holder = this.#holder
    if (!holder) return
    this.#time.after(tellAfterMs, holder.tellLost)
    this.free()
  }
}
