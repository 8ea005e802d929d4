/** What lies in the databases when all programs have ended, and that it is bounded. */
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { tables } from '../../src/store/tables.ts'
import type { Device } from './device.ts'
import type { World } from './world.ts'

/** The largest of each that any database held. */
export interface StoreSizes {
  readonly parked: number
  readonly setAside: number
  readonly outbox: number
  readonly seen: number
  readonly sessionsOfOne: number
}

export const judgeStores = async (world: World): Promise<StoreSizes> => {
  const largest = { parked: 0, setAside: 0, outbox: 0, seen: 0, sessionsOfOne: 0 }
  for (const device of world.devices) {
    const store = await openIdbStore(device.database, world.crypto, () => undefined)
    const sizes = await measure(store)
    store.close()
    judgeSizes(world, device, sizes)
    largest.parked = Math.max(largest.parked, sizes.parked)
    largest.setAside = Math.max(largest.setAside, sizes.setAside)
    largest.outbox = Math.max(largest.outbox, sizes.outbox)
    largest.seen = Math.max(largest.seen, sizes.seen)
    largest.sessionsOfOne = Math.max(largest.sessionsOfOne, sizes.sessionsOfOne)
  }
  return largest
}

const measure = async (store: Store): Promise<StoreSizes> => {
  const sessions = new Map<string, number>()
  for (const { value } of await store.all(tables.sessions)) {
    sessions.set(value.installationId, (sessions.get(value.installationId) ?? 0) + 1)
  }
  return {
    parked: await count(store, tables.parked),
    setAside: await count(store, tables.setAside),
    outbox: await count(store, tables.outbox),
    seen: await count(store, tables.seen),
    sessionsOfOne: Math.max(0, ...sessions.values()),
  }
}

const count = async (store: Store, table: Parameters<Store['scan']>[0]): Promise<number> => {
  let rows = 0
  for (let after = 0; ; ) {
    const page = await store.scan(table, { after, limit: 500 })
    if (page.lastNumber <= after) return rows
    rows += page.rows.length
    after = page.lastNumber
  }
}

const judgeSizes = ({ journal }: World, device: Device, sizes: StoreSizes): void => {
  // Everyone can be looked up in a quiet night, and nobody sends what later releases understand.
  if (sizes.parked > 0) journal.problem(`${device.name} still has ${sizes.parked} parked`)
  if (sizes.setAside > 0) journal.problem(`${device.name} set ${sizes.setAside} aside`)
}
