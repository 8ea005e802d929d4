/**
 * A whole node in this process, without sockets: the real service on the real store, for tests of
 * whatever talks to a node.
 */
import { createRouterTransport, type Transport } from '@connectrpc/connect'
import { type Clock, systemClock } from './clock.ts'
import { createNodeService, type NodeServiceOptions, type RunningService } from './service.ts'
import { openSqliteStore } from './store/sqlite.ts'
import type { Store } from './store/store.ts'

export interface InProcessNodeOptions extends Omit<NodeServiceOptions, 'store'> {
  /** A path, or ':memory:', which is the default. */
  readonly file?: string
  readonly chainIds?: readonly bigint[]
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
  const { file = ':memory:', chainIds = [], clock = systemClock } = options
  const store = openSqliteStore({ file, chainIds, clock })
  const service = createNodeService({ ...options, store, clock })
  return {
    transport: createRouterTransport((router) => service.routes(router)),
    service,
    store,
    clock,
    async close() {
      service.close()
      await store.close()
    },
  }
}
