/** What lies in the databases when all programs have ended, and that it is bounded. */
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { tables } from '../../src/store/tables.ts'
import type { Device } from './device.ts'
import { storeNames as names, type StoreSizes } from './store-names.ts'
import { type Registered, readTruth } from './truth.ts'
import type { World } from './world.ts'

/** Secrets of keys that others may still use (docs/protocol.md sections 2, 6 and 7). */
const limits: Partial<StoreSizes> = {
  // Everyone can be looked up in a quiet night, and nobody sends what later releases understand.
  parked: 0,
  setAside: 0,
  owed: 0,
  sessionsOfOne: 5,
  fallbackSecrets: 2,
  sealingSecrets: 3,
}

/** @returns the largest of each that any database held */
export const judgeStores = async (world: World): Promise<StoreSizes> => {
  const truth: ReadonlyMap<string, Registered> = await readTruth(world)
  const all: StoreSizes[] = []
  for (const device of world.devices) {
    const store = await openIdbStore(device.database, world.crypto, () => undefined)
    const sizes = await measure(store)
    store.close()
    all.push(sizes)
    judgeSizes(world, device, truth.get(device.installationId ?? ''), sizes)
  }
  const largest = names.map((name) => [name, Math.max(0, ...all.map((sizes) => sizes[name]))])
  return Object.fromEntries(largest)
}

const measure = async (store: Store): Promise<StoreSizes> => {
  const sessions = new Map<string, number>()
  for (const { value } of await store.all(tables.sessions)) {
    // Of removed ones only the id stays.
    if (value.pruned) continue
    sessions.set(value.installationId, (sessions.get(value.installationId) ?? 0) + 1)
  }
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  return {
    parked: await count(store, tables.parked),
    setAside: await count(store, tables.setAside),
    outbox: await count(store, tables.outbox),
    owed: await count(store, tables.owed),
    seen: await count(store, tables.seen),
    sent: await count(store, tables.sent),
    recovery: (await store.all(tables.recovery)).length,
    sessionsOfOne: Math.max(0, ...sessions.values()),
    oneTimeSecrets: prekeys?.oneTime.length ?? 0,
    fallbackSecrets: prekeys?.fallback.length ?? 0,
    sealingSecrets: sealing?.secrets.length ?? 0,
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

const judgeSizes = (
  { journal }: World,
  device: Device,
  installation: Registered | undefined,
  sizes: StoreSizes,
): void => {
  // Who is revoked does nothing any more.
  if (installation === undefined || installation.revokedNs !== undefined) return
  for (const name of names) {
    const limit = limits[name]
    if (limit !== undefined && sizes[name] > limit) {
      journal.problem(`${device.name} holds ${sizes[name]} of ${name}, allowed are ${limit}`)
    }
  }
}
