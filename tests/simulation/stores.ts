/** What lies in the databases when all programs have ended, and that it is bounded. */
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { tables } from '../../src/store/tables.ts'
import type { Device } from './device.ts'
import { storeNames as names, type StoreSizes } from './store-names.ts'
import { startMs } from './surroundings.ts'
import { countEnvelopes, type Registered, readTruth } from './truth.ts'
import type { World } from './world.ts'

const dayMs = 86_400_000
/** What is sent again is remembered for two weeks, digests for 61 days; clocks are wrong by hours. */
const oldestSentMs = 16 * dayMs
const oldestSeenMs = 63 * dayMs

/** Secrets of keys that others may still use (docs/protocol.md sections 2, 6 and 7). */
const fixedLimits: Partial<StoreSizes> = {
  // Everyone can be looked up in a quiet night, and nobody sends what later releases understand.
  parked: 0,
  setAside: 0,
  owed: 0,
  unverified: 0,
  // Envelopes that stand for no message, and requests of others: nothing is left to wait for.
  internal: 0,
  requests: 0,
  sessionsOfOne: 5,
  fallbackSecrets: 2,
  sealingSecrets: 3,
}

/** Of what an honest world has none; `strangers/bounds.ts` looks closer. */
const strangersLimits: Partial<StoreSizes> = { setAside: 100, recovery: 100 }

/** @returns the largest of each that any database held */
export const judgeStores = async (world: World): Promise<StoreSizes> => {
  const truth: ReadonlyMap<string, Registered> = await readTruth(world)
  const limits = await limitsOf(world, truth)
  const all: StoreSizes[] = []
  for (const device of world.devices) {
    const store = await openIdbStore(device.database, world.crypto, () => undefined)
    const sizes = await measure(store)
    const installation = truth.get(device.installationId ?? '')
    // Who is revoked does nothing any more.
    if (installation !== undefined && installation.revokedNs === undefined) {
      judgeSizes(world, device, sizes, limits)
      await judgeAges(world, device, store)
    }
    await store.close()
    all.push(sizes)
  }
  const largest = names.map((name) => [name, Math.max(0, ...all.map((sizes) => sizes[name]))])
  return Object.fromEntries(largest)
}

/** With what follows from who and how many there are. */
const limitsOf = async (
  world: World,
  truth: ReadonlyMap<string, Registered>,
): Promise<Partial<StoreSizes>> => {
  const { people, devices, features } = world
  // A node that lost its data has forgotten some, of which its clients know.
  if (features.hasNodeRestores) return fixedLimits
  const inboxes = devices.reduce((sum, { installationIds }) => sum + installationIds.size, 0)
  return {
    ...fixedLimits,
    // Without older copies nothing is ever undecryptable.
    ...(features.hasRestores ? {} : { recovery: 0 }),
    revocations: truth.size,
    // What strangers leave has bounds of its own.
    ...(features.isBesieged
      ? strangersLimits
      : {
          installations: truth.size,
          conversations: people.length,
          // One for each topic, and for each head that one of them ever had.
          cursors: (await countEnvelopes(world)) + 2 * people.length + 2 * inboxes,
        }),
  }
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
    internal: (await store.scan(tables.outbox, { after: 0, limit: 10_000 })).rows.filter(
      ({ value }) => value.messageId === '',
    ).length,
    requests: (await store.get(tables.requests, 'requests'))?.value.requests.length ?? 0,
    unverified: await count(store, tables.unverified),
    cursors: (await store.all(tables.cursors)).length,
    installations: (await store.all(tables.installations)).length,
    conversations: (await store.all(tables.conversations)).length,
    revocations: await count(store, tables.revocations),
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
  sizes: StoreSizes,
  limits: Partial<StoreSizes>,
): void => {
  for (const name of names) {
    const limit = limits[name]
    if (limit !== undefined && sizes[name] > limit) {
      journal.problem(`${device.name} holds ${sizes[name]} of ${name}, allowed are ${limit}`)
    }
  }
}

/** What is kept for a time only is gone after it. */
const judgeAges = async ({ time, journal }: World, device: Device, store: Store): Promise<void> => {
  const nowMs = startMs + time.nowMs
  const sent = await store.scan(tables.sent, { after: 0, limit: 10_000 })
  const old = sent.rows.filter(({ value }) => Number(value.sentMs) < nowMs - oldestSentMs)
  if (old.length > 0) journal.problem(`${device.name} holds ${old.length} of sent that are too old`)
  const seen = await store.scan(tables.seen, { after: 0, limit: 10_000 })
  const oldestNs = BigInt(Math.floor(nowMs - oldestSeenMs)) * 1_000_000n
  const forgettable = seen.rows.filter(({ value }) => value.nodeNs < oldestNs)
  if (forgettable.length > 0) {
    journal.problem(`${device.name} holds ${forgettable.length} of seen that are too old`)
  }
}
