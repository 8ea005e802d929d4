/** What strangers left in each database, against docs/protocol.md sections 9 and 11. */

import { scanAll } from '../../../src/engine/runtime/scan-all.ts'
import {
  allRequestSessionsLimit,
  allRequestsBytesLimit,
  allRequestsMessagesLimit,
  grantedInstallationsLimit,
  parkedAddressBytes,
  parkedRequestsBytes,
  prunedRequestSessionsLimit,
  requestBytesLimit,
  requestMessagesLimit,
  requestSessionsLimit,
  setAsideAddressBytes,
  setAsideBytes,
} from '../../../src/protocol/limits.ts'
import { openIdbStore } from '../../../src/store/idb.ts'
import type { Row, Store, Table } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import type { World } from '../world.ts'
import type { Crowd } from './crowd.ts'

/** What a device may hold of accounts that nobody accepted. */
const limits = {
  messages: allRequestsMessagesLimit,
  messageBytes: allRequestsBytesLimit,
  messagesOfOne: requestMessagesLimit,
  messageBytesOfOne: requestBytesLimit,
  sessions: allRequestSessionsLimit,
  sessionsOfOne: requestSessionsLimit,
  prunedOfOne: prunedRequestSessionsLimit,
  setAside: 100,
  setAsideBytes: setAsideBytes / 10,
  setAsideOfOne: 10,
  setAsideBytesOfOne: setAsideAddressBytes / 10,
  parkedBytes: parkedRequestsBytes,
  parkedBytesOfOne: parkedAddressBytes,
  unreadableFrom: 100,
  unreadableOfOne: 100,
  // Those that only revocations named, and those that were ever granted.
  installations: Number.POSITIVE_INFINITY,
  installationsOfOne: 1_500 + grantedInstallationsLimit,
  owed: 0,
  requests: 0,
} as const

type Sizes = Readonly<Record<keyof typeof limits, number>>

/** @returns the most of each that a device held */
export const judgeAfterStrangers = async (world: World): Promise<Sizes> => {
  const { crowd, devices, journal } = world
  const all: Sizes[] = []
  for (const device of crowd ? devices : []) {
    const store = await openIdbStore(device.database, world.crypto, () => undefined)
    const sizes = await measure(store, crowd)
    await store.close()
    for (const name of names) {
      if (sizes[name] > limits[name]) {
        journal.problem(`${device.name} holds ${sizes[name]} ${name} of strangers`)
      }
    }
    all.push(sizes)
  }
  const most = names.map((name) => [name, Math.max(0, ...all.map((sizes) => sizes[name]))])
  return Object.fromEntries(most)
}

const names = Object.keys(limits) as readonly (keyof typeof limits)[]

/** Counts records and bytes, in all and of whoever has most. */
class Tally {
  count = 0
  bytes = 0
  readonly #ofOne = new Map<string, { count: number; bytes: number }>()

  add(one: string, bytes = 0, count = 1): void {
    const before = this.#ofOne.get(one) ?? { count: 0, bytes: 0 }
    this.#ofOne.set(one, { count: before.count + count, bytes: before.bytes + bytes })
    this.count += count
    this.bytes += bytes
  }

  get ofOne(): { readonly count: number; readonly bytes: number; readonly ones: number } {
    const all = [...this.#ofOne.values()]
    return {
      count: Math.max(0, ...all.map(({ count }) => count)),
      bytes: Math.max(0, ...all.map(({ bytes }) => bytes)),
      ones: all.length,
    }
  }
}

const measure = async (store: Store, crowd: Crowd | undefined): Promise<Sizes> => {
  const isStranger = (address: string) => crowd?.has(address) === true
  const messages = new Tally()
  const sessions = new Tally()
  const pruned = new Tally()
  const setAside = new Tally()
  const parked = new Tally()
  const unreadable = new Tally()
  const installations = new Tally()
  const owed = new Tally()
  const strangers = new Set<string>(crowd?.members.map(({ installationId }) => installationId))
  for await (const { value } of scanAll(store, tables.messages)) {
    if (isStranger(value.sender)) messages.add(value.sender, value.content.length)
  }
  for await (const { value } of scanAll(store, tables.setAside)) {
    if (isStranger(value.address)) setAside.add(value.address, value.payload.length)
  }
  for await (const { value } of scanAll(store, tables.parked)) {
    if (!value.accepted) parked.add(value.address, value.message.length)
  }
  for await (const { value } of scanAll(store, tables.owed)) {
    if (isStranger(value.address)) owed.add(value.address)
  }
  for (const { value } of await collect(store, tables.sessions)) {
    if (!strangers.has(value.installationId)) continue
    if (value.pruned) pruned.add(value.installationId)
    else sessions.add(value.installationId, value.state.length)
  }
  for (const { value } of await collect(store, tables.recovery)) {
    if (!value.accepted) unreadable.add(value.installationId, 0, value.missing.length)
  }
  for (const { value } of await collect(store, tables.installations)) {
    if (isStranger(value.address)) installations.add(value.address)
  }
  const requests = (await store.get(tables.requests, 'requests'))?.value.requests ?? []
  return {
    messages: messages.count,
    messageBytes: messages.bytes,
    messagesOfOne: messages.ofOne.count,
    messageBytesOfOne: messages.ofOne.bytes,
    sessions: sessions.count,
    sessionsOfOne: sessions.ofOne.count,
    prunedOfOne: pruned.ofOne.count,
    setAside: setAside.count,
    setAsideBytes: setAside.bytes,
    setAsideOfOne: setAside.ofOne.count,
    setAsideBytesOfOne: setAside.ofOne.bytes,
    parkedBytes: parked.bytes,
    parkedBytesOfOne: parked.ofOne.bytes,
    unreadableFrom: unreadable.ofOne.ones,
    unreadableOfOne: unreadable.ofOne.count,
    installations: installations.count,
    installationsOfOne: installations.ofOne.count,
    owed: owed.count,
    requests: requests.filter(({ address }) => isStranger(address)).length,
  }
}

const collect = async <Value>(
  store: Store,
  table: Table<Value>,
): Promise<readonly Row<Value>[]> => {
  const all: Row<Value>[] = []
  for await (const rows of store.pages(table)) all.push(...rows)
  return all
}
