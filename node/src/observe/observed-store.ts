/** A store whose answers are timed. */
import type { Store } from '../store/store.ts'
import type { Observer, StoreOperation } from './observer.ts'

export function observeStore(store: Store, observer: Observer): Store {
  const timed = async <T>(operation: StoreOperation, answer: Promise<T>): Promise<T> => {
    const startedMs = performance.now()
    try {
      return await answer
    } finally {
      observer.storeAnswered(operation, performance.now() - startedMs)
    }
  }
  return {
    nodeId: store.nodeId,
    chainIds: store.chainIds,
    clock: store.clock,
    publish: (...args) => timed('publish', store.publish(...args)),
    claim: (...args) => timed('claim', store.claim(...args)),
    page: (...args) => timed('page', store.page(...args)),
    stock: (...args) => timed('stock', store.stock(...args)),
    watch: (...args) => store.watch(...args),
    sweep: () => store.sweep(),
    close: () => store.close(),
  }
}
