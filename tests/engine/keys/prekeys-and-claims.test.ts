/** docs/protocol.md sections 5 and 6: the own prekeys, and the claiming of others'. */

import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { PadlockError } from '../../../src/errors.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import type { Store } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld, dayMs, hourMs, isSent, must } from '../../support/turned-world.ts'

type Line = ReturnType<typeof aLine>

/** The bytes of the prekey uploads that were offered to the node. */
const uploadsOf = (line: Line): readonly Uint8Array[] =>
  line.published
    .flat()
    .filter(({ topic }) => topic.startsWith('prekey-'))
    .map(({ message }) => message)

const stockOf = (world: EngineWorld, { engine }: Opened) =>
  world.node.store.stock(engine.installationId)

const prekeysOf = async (world: EngineWorld, database: string) => {
  const store = await world.openStore(database)
  const record = (await store.get(tables.prekeys, 'prekeys'))?.value
  store.close()
  if (!record) throw new Error('no prekeys')
  return record
}

/** Replaces what the node says of the stock. */
const tellStock =
  (oneTimeLeft: number) =>
  (real: Network): Network => ({
    ...real,
    async *subscribe(...args) {
      for await (const frame of real.subscribe(...args)) {
        yield frame.kind === 'prekey_stock' ? { ...frame, oneTimeLeft } : frame
      }
    },
  })

test('section 6: a stock of 25 is enough, one of 24 is topped up to 50', async () => {
  for (const [left, made] of [
    [25, undefined],
    [24, 26],
    [0, 50],
  ] as const) {
    const { world, clocks } = await aTurnedWorld()
    const { platform } = clocks
    const account = anAccount()
    const database = freshDatabase()
    const first = await world.open({ account, database, platform })
    await untilState(first, 'live')
    await first.engine.close()
    const line = aLine()
    const network = (real: Network) => line.network(tellStock(left)(real))
    const again = await world.open({ account, database, platform, network })
    await untilState(again, 'live')
    const { id } = await again.engine.conversation(account.address)
    await again.engine.send(id, 'something later')
    await until(() => isSent(again, id, 'something later'))
    if (made !== undefined) await until(() => uploadsOf(line).length === 1)
    const uploads = uploadsOf(line).map((bytes) => must(parsePrekeyUpload(bytes)))
    expect(uploads.map(({ oneTime }) => oneTime.length)).toEqual(made === undefined ? [] : [made])
    for (const { fallback, replace } of uploads) {
      expect(fallback).toBeUndefined()
      expect(replace).toBe(false)
    }
    await again.engine.close()
  }
})

test('section 6: an upload that was not acknowledged goes again with the same bytes, and no fallback is made meanwhile', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  const { fallback } = await prekeysOf(world, database)

  const line = aLine()
  line.refuse = ([envelope]) =>
    envelope?.topic.startsWith('prekey-') === true
      ? new PadlockError('network_unavailable')
      : undefined
  const network = (real: Network) => line.network(tellStock(24)(real))
  const second = await world.open({ account, database, platform, network })
  await untilState(second, 'live')
  await until(() => uploadsOf(line).length === 1)
  // The fallback is due now, and each hour tries again.
  clocks.turn(8 * dayMs)
  const untilHour = (isTrue: () => boolean) =>
    until(() => {
      if (!isTrue()) clocks.turn(hourMs)
      return isTrue()
    })
  await untilHour(() => uploadsOf(line).length >= 2)
  await second.engine.close()
  const pending = await prekeysOf(world, database)
  expect(pending.fallback).toEqual(fallback)
  expect(pending.oneTime).toHaveLength(76)

  const third = await world.open({ account, database, platform, network: line.network })
  await untilState(third, 'live')
  await until(() => uploadsOf(line).length >= 3)
  line.refuse = () => undefined
  const isTaken = async () => (await stockOf(world, third)).oneTimeLeft === 76
  await until(async () => {
    if (!(await isTaken())) clocks.turn(hourMs)
    return isTaken()
  })
  const fallbacks = () =>
    uploadsOf(line).filter((bytes) => must(parsePrekeyUpload(bytes)).fallback !== undefined)
  // Acknowledged: the next hour brings the fallback that was due.
  await untilHour(() => fallbacks().length === 1)
  const [once, ...others] = uploadsOf(line).slice(0, -1)
  expect(others.length).toBeGreaterThanOrEqual(2)
  for (const other of others) expect(other).toEqual(once)
})

test('section 6: a one-time secret goes in the transaction that stores its first message, and only then', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const transactions: (readonly string[])[] = []
  const store = (real: Store): Store => ({
    get: (table, key) => real.get(table, key),
    list: (table, options) => real.list(table, options),
    all: (table) => real.all(table),
    scan: (table, options) => real.scan(table, options),
    nextNumber: (table) => real.nextNumber(table),
    close: () => real.close(),
    transaction: async (reads, step, durability) => {
      let written: readonly string[] = []
      const result = await real.transaction(
        reads,
        (rows) => {
          const next = step(rows)
          written = next.writes.map(({ table, key }) => `${table.store} ${key}`)
          return next
        },
        durability,
      )
      transactions.push(written)
      return result
    },
  })
  const atBob = await world.open({ account: bob, database, platform, store })
  await untilState(atBob, 'live')
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  transactions.length = 0
  const { id: messageId } = await atAlice.engine.send(id, 'the first')
  await untilTexts(atBob, id, 1)
  await atAlice.engine.send(id, 'the second, on the same session')
  await untilTexts(atBob, id, 2)
  const spends = transactions.filter((written) => written.includes('account prekeys'))
  expect(spends).toHaveLength(1)
  expect(spends[0]).toContain(`messages ${messageId}`)
  expect(spends[0]?.filter((one) => one.startsWith('sessions '))).toHaveLength(1)
  await atBob.engine.close()
  expect((await prekeysOf(world, database)).oneTime).toHaveLength(49)
})

test('section 5: the id of a claim is kept before asking, and one whose answer was lost burns no second key', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  const line = aLine()
  let answers = 0
  line.serve = (keys) => {
    answers += 1
    if (answers <= 2) throw new PadlockError('network_unavailable')
    return keys
  }
  const { network } = line
  const first = await world.open({ account: alice, database, platform, network })
  await untilState(first, 'live')
  const { id } = await first.engine.conversation(bob.address)
  await first.engine.send(id, 'hello')
  await until(() => line.claimed.length >= 1)
  await first.engine.close()
  const second = await world.open({ account: alice, database, platform, network })
  await untilState(second, 'live')
  expect(await untilTexts(atBob, id, 1)).toEqual(['hello'])
  expect(line.claimed.length).toBeGreaterThanOrEqual(3)
  const [{ claimId } = { claimId: new Uint8Array() }, ...others] = line.claimed
  expect(claimId).toHaveLength(16)
  for (const other of others) expect(other.claimId).toEqual(claimId)
  expect((await stockOf(world, atBob)).oneTimeLeft).toBe(49)
})

/** A device that meets a node which knows nothing of it. */
const atAnotherNode = async () => {
  const { world, clocks } = await aTurnedWorld()
  const account = anAccount()
  const database = freshDatabase()
  const other = createInProcessNode({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  onTestFinished(() => other.close())
  const open = (network: (real: Network) => Network) =>
    world.open({ account, database, platform: clocks.platform, network })
  const first = await open((real) => real)
  await untilState(first, 'live')
  await first.engine.close()
  return { world, clocks, database, open, elsewhere: networkOver(other.transport) }
}

test('section 6: a replacement that was stale is made anew as a replacement, with the same fallback', async () => {
  const { open, elsewhere, world, database } = await atAnotherNode()
  const line = aLine()
  line.refuse = ([envelope]) =>
    envelope?.topic.startsWith('prekey-') === true && uploadsOf(line).length === 1
      ? new PadlockError('stale_upload')
      : undefined
  const again = await open(() => line.network(elsewhere))
  await untilState(again, 'live')
  const [stale, anew] = uploadsOf(line).map((bytes) => must(parsePrekeyUpload(bytes)))
  expect(anew?.replace).toBe(true)
  expect(anew?.fallback?.key).toEqual(stale?.fallback?.key)
  expect(anew?.createdNs).toBeGreaterThan(stale?.createdNs ?? 0n)
  expect(anew?.oneTime).toHaveLength(50)
  const keysOf = (upload: typeof stale) => (upload?.oneTime ?? []).map(({ key }) => `${key}`)
  expect(keysOf(anew).filter((key) => keysOf(stale).includes(key))).toEqual([])
  await again.engine.close()
  // The secrets of the stale one are gone.
  const left = (await prekeysOf(world, database)).oneTime.map(({ publicKey }) => `${publicKey}`)
  expect(left.filter((key) => keysOf(stale).includes(key))).toEqual([])
})

test('section 6: a fallback that no node acknowledged yet is carried to another node, and the one before it kept', async () => {
  const { open, elsewhere, world, clocks, database } = await atAnotherNode()
  const before = await prekeysOf(world, database)
  clocks.turn(7 * dayMs)
  const line = aLine()
  line.refuse = ([envelope]) =>
    envelope?.topic.startsWith('prekey-') === true
      ? new PadlockError('network_unavailable')
      : undefined
  const rotating = await open(line.network)
  await untilState(rotating, 'live')
  await until(() => uploadsOf(line).length === 1)
  await rotating.engine.close()
  const moved = aLine()
  const again = await open(() => moved.network(elsewhere))
  await untilState(again, 'live')
  await again.engine.close()
  const [pending, replacement] = [line, moved].map((each) =>
    must(parsePrekeyUpload(uploadsOf(each)[0] ?? new Uint8Array())),
  )
  expect(replacement?.replace).toBe(true)
  expect(replacement?.fallback?.key).toEqual(pending?.fallback?.key)
  const { fallback } = await prekeysOf(world, database)
  expect(fallback.map(({ publicKey }) => publicKey)).toEqual([
    pending?.fallback?.key,
    before.fallback[0]?.publicKey,
  ])
})
