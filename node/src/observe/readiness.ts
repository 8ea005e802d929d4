/** Whether a node should be sent requests: it has started, is not stopping, and its store answers. */
import type { Store } from '../store/store.ts'

export interface Readiness {
  /** Whether the store answers in time. Never rejects. */
  isReady(): Promise<boolean>
  /** From now on the node is ready while this store answers. */
  serve(store: Pick<Store, 'stock'>): void
  /** From now on the node is not ready: it finishes running requests. */
  drain(): void
}

/** How long the store may take to answer. */
const probeLimitMs = 2_000
// An installation that cannot exist: looking for it costs one index probe.
const nobody = 'A'.repeat(43)

/** Not ready until `serve`. */
export function createReadiness(limitMs = probeLimitMs): Readiness {
  let store: Pick<Store, 'stock'> | undefined
  let probing: Promise<boolean> | undefined

  async function probe(asked: Pick<Store, 'stock'>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), limitMs)
    })
    const answers = asked.stock(nobody).then(
      () => true,
      () => false,
    )
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
