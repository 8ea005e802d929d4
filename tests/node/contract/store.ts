/**
 * The store that these tests run on: both pass the same ones. `vite.config.ts` runs them twice, and
 * says which store it is by `PADLOCK_TEST_STORE`. With `PADLOCK_TEST_DOORBELL=poll` that on PostgreSQL polls.
 */
import { openPostgresStore } from '../../../node/src/store/postgres/postgres.ts'
import {
  createInProcessNode,
  type InProcessNode,
  type InProcessNodeOptions,
  serveInProcess,
} from '../../../node/src/testing.ts'
import { aDatabase } from '../../support/postgres.ts'

/** A node in this process on an empty store, which goes with the test. */
export async function openNode(options: InProcessNodeOptions): Promise<InProcessNode> {
  const name = process.env.PADLOCK_TEST_STORE
  if (name === 'sqlite') return createInProcessNode(options)
  if (name !== 'postgres') throw new Error('PADLOCK_TEST_STORE says sqlite or postgres')
  const chainIds = options.chains?.ids ?? []
  const doorbell = process.env.PADLOCK_TEST_DOORBELL === 'poll' ? 'poll' : 'notify'
  const store = await openPostgresStore({ ...options, url: await aDatabase(), chainIds, doorbell })
  return serveInProcess(store, options)
}
