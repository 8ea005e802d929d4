/** A store whose answers are timed. */
import {
  type ReadAnswers,
  type ReadArgs,
  type ReadName,
  ReadsByName,
  readByName,
  type Store,
} from '../store/store.ts'
import type { Observer, StoreOperation } from './observer.ts'

export class ObservedStore extends ReadsByName implements Store {
  readonly nodeId: Uint8Array
  readonly chainIds: readonly bigint[]
  readonly clock: Store['clock']
  readonly publish: Store['publish']
  readonly claim: Store['claim']
  readonly watch: Store['watch']
  readonly sweep: Store['sweep']
  readonly close: Store['close']
  readonly #store: Store
  readonly #observer: Observer

  constructor(store: Store, observer: Observer) {
    super()
    this.#store = store
    this.#observer = observer
    this.nodeId = store.nodeId
    this.chainIds = store.chainIds
    this.clock = store.clock
    this.publish = (...args) => this.#timed('publish', store.publish(...args))
    this.claim = (...args) => this.#timed('claim', store.claim(...args))
    this.watch = (...args) => store.watch(...args)
    this.sweep = () => store.sweep()
    this.close = () => store.close()
  }

  protected read<N extends ReadName>(name: N, args: ReadArgs[N]): Promise<ReadAnswers[N]> {
    return this.#timed(name, readByName(this.#store, name, args))
  }

  async #timed<T>(operation: StoreOperation, answer: Promise<T>): Promise<T> {
    const startedMs = performance.now()
    try {
      return await answer
    } finally {
      this.#observer.storeAnswered(operation, performance.now() - startedMs)
    }
  }
}
