/** Whether a node should be sent requests: it has started, is not stopping, and its store takes writes. */
import type { Store } from '../store/store.ts'

export interface Readiness {
  /** Whether the store says in time that it takes writes. Never rejects. */
  isReady(): Promise<boolean>
  /** From now on the node is ready while this store takes writes. */
  serve(store: Pick<Store, 'takesWrites'>): void
  /** From now on the node is not ready: it finishes running requests. */
  drain(): void
}

/** How long the store may take to answer. */
const probeLimitMs = 2_000

/** Not ready until `serve`. */
export function createReadiness(limitMs = probeLimitMs): Readiness {
  let store: Pick<Store, 'takesWrites'> | undefined
  let probing: Promise<boolean> | undefined

  async function probe(asked: Pick<Store, 'takesWrites'>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), limitMs)
    })
    const answers = asked.takesWrites().catch(() => false)
    try {
      return await Promise.race([answers, late])
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    async isReady() {
      if (store === undefined) return false
      // The store is asked once at a time, however often this is called.
      probing ??= probe(store).finally(() => {
        probing = undefined
      })
      return (await probing) && store !== undefined
    },
    serve(given) {
      store = given
    },
    drain() {
      store = undefined
    },
  }
}
