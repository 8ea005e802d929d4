/**
 * A whole node in this process, without sockets: the real service on the real store, for tests of
 * what talks to a node.
 */
import { createRouterTransport, type Transport } from '@connectrpc/connect'
import { noChains } from './chains/chains.ts'
import type { Clock } from './clock.ts'
import { createNodeService, type NodeServiceOptions, type RunningService } from './service.ts'
import type { StoreOptions } from './store/group-commit.ts'
import { openSqliteStore } from './store/sqlite/sqlite.ts'
import type { Store } from './store/store.ts'

export interface InProcessNodeOptions
  extends Omit<NodeServiceOptions, 'store'>,
    Omit<StoreOptions, 'chainIds'> {
  /** A path, or ':memory:', which is the default. */
  readonly file?: string
}

export interface InProcessNode {
  readonly transport: Transport
  readonly service: RunningService
  readonly store: Store
  readonly clock: Clock
  /** Ends streams and closes the store; a node on the same file may be created afterwards. */
  close(): Promise<void>
}

export function createInProcessNode(options: InProcessNodeOptions = {}): InProcessNode {
  const { file = ':memory:', chains = noChains } = options
  return serveInProcess(openSqliteStore({ ...options, file, chainIds: chains.ids }), options)
}

/** A node on an open store, which it closes at its end. */
export function serveInProcess(
  store: Store,
  options: Omit<NodeServiceOptions, 'store'> = {},
): InProcessNode {
  const service = createNodeService({ ...options, store })
  return {
    transport: createRouterTransport((router) => service.routes(router)),
    service,
    store,
    clock: store.clock,
    async close() {
      service.close()
      await store.close()
    },
  }
}
