/** Places, bodies and turns that a few take as much of as they can, and nobody else is shut out. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { FairPlaces } from '../../node/src/limits/fair-places.ts'
import { leastMemoryBytes, shareMemory } from '../../node/src/limits/memory.ts'
import { BodyBudget } from '../../node/src/server/body-budget.ts'
import { CallGate } from '../../node/src/server/call-gate.ts'
import { ConnectionGate } from '../../node/src/server/connection-gate.ts'
import { Turns } from '../../node/src/server/turns.ts'
import { requestLimitBytes } from '../../src/protocol/limits.ts'

const nobody = (): boolean => false

test('when all places are taken, whoever holds most loses the oldest', () => {
  const evicted: string[] = []
  const places = new FairPlaces<string>(6, (item) => evicted.push(item))
  for (const item of ['a1', 'a2', 'a3', 'a4']) expect(places.take('a', item)).toBe(true)
  for (const item of ['b1', 'b2']) places.take('b', item)
  expect(places.take('c', 'c1')).toBe(true)
  expect(evicted).toEqual(['a1'])
  expect(places.take('c', 'c2')).toBe(true)
  expect(evicted).toEqual(['a1', 'a2'])
  // Now all hold the same, and nobody gets more.
  for (const caller of ['a', 'b', 'c']) expect(places.take(caller, 'more')).toBe(false)
  expect(places.take('d', 'd1')).toBe(true)
  places.release('a', 'a1')
  expect(places.size).toBe(6)
  for (const item of ['c1', 'c2', 'd1']) places.release(item.slice(0, 1), item)
  expect(places.size).toBe(3)
})

test('whatever is taken and given back, no more is held than there are places, and as evenly as can be', () => {
  let seed = 11
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const held = new Map<string, string>()
  const places = new FairPlaces<string>(50, (item) => held.delete(item))
  for (let n = 0; n < 20_000; n += 1) {
    const caller = `${random(8)}`
    const item = `${caller} ${n}`
    if (random(3) > 0) {
      if (places.take(caller, item)) held.set(item, caller)
    } else {
      const [own] = [...held].find(([, holder]) => holder === caller) ?? []
      if (own === undefined) continue
      held.delete(own)
      places.release(caller, own)
    }
    expect(places.size).toBe(held.size)
    expect(held.size).toBeLessThanOrEqual(50)
  }
})

test('the addresses of an IPv6 /48 hold places together', () => {
  const evicted: number[] = []
  const places = new FairPlaces<number>(20, (item) => evicted.push(item))
  for (let n = 0; n < 20; n += 1) places.take(`2001:db8:1:${n}::/64`, n)
  expect(places.take('192.0.2.1', 100)).toBe(true)
  expect(evicted).toEqual([0])
})

test('four callers take all calls that one may, and a fifth is served all the same', () => {
  const calls = new CallGate(40, nobody)
  let cut = 0
  const open = (caller: string) => calls.open(caller, () => (cut += 1))
  for (const caller of ['a', 'b', 'c', 'd']) {
    for (let n = 0; n < 10; n += 1) expect(open(caller).kind).toBe('served')
    expect(open(caller).kind).toBe('refused')
  }
  const fifth = open('e')
  expect([fifth.kind, cut, calls.size]).toEqual(['served', 1, 40])
  fifth.release()
  fifth.release()
  expect(calls.size).toBe(39)
  // Not even refusals are without bound.
  for (let n = 0; n < 1_000; n += 1) open('b')
  expect(open('b').kind).toBe('cut')
})

test('idle connections of some keep nobody out', () => {
  const gate = new ConnectionGate({ total: 8, perCaller: 4, exempt: nobody, isProxy: nobody })
  const connect = (remoteAddress: string) => {
    const socket = Object.assign(new EventEmitter(), {
      remoteAddress,
      isDestroyed: false,
      destroy() {
        socket.isDestroyed = true
        socket.emit('close')
      },
    })
    return { socket, isAdmitted: gate.admit(socket as unknown as Socket) }
  }
  const held = ['192.0.2.1', '192.0.2.2'].flatMap((from) =>
    Array.from({ length: 4 }, () => connect(from)),
  )
  expect(connect('192.0.2.3').isAdmitted).toBe(true)
  expect(held.map(({ socket }) => socket.isDestroyed).filter(Boolean)).toHaveLength(1)
  expect([gate.size, gate.refused]).toEqual([8, 1])
})

test('slow uploads of a few make room for those of others, and whole bodies stay', () => {
  const bodies = new BodyBudget(800, nobody)
  const cut: string[] = []
  const open = (name: string) => bodies.open(name.slice(0, 1), () => cut.push(name))
  for (const name of ['a1', 'b1', 'c1', 'd1']) {
    const share = open(name)
    expect(share.take(200)).toBe(true)
    if (name === 'a1') share.arrived()
  }
  const other = open('e1')
  expect(other.take(100)).toBe(true)
  expect(cut).toEqual(['b1'])
  expect(bodies.used).toBe(700)
  // Nobody is cut for one who would then hold as much.
  expect(other.take(100)).toBe(true)
  expect(other.take(1)).toBe(false)
  expect(cut).toEqual(['b1'])
})

test('calls begin in turns: one does not wait for the thousand that came before it from elsewhere', async () => {
  const turns = new Turns()
  const begun: string[] = []
  const done = Promise.withResolvers<void>()
  for (let n = 0; n < 1_000; n += 1) turns.take('crowd', () => void begun.push('crowd'))
  turns.take('one', () => {
    begun.push('one')
    done.resolve()
  })
  await done.promise
  expect(begun.length).toBeLessThan(40)
  // Who leaves is not waited for, and nothing of it stays.
  const leaving = Array.from({ length: 1_000 }, () => turns.take('gone', () => begun.push('gone')))
  for (const leave of leaving) leave()
  for (const leave of leaving) leave()
  expect(turns.size).toBeLessThan(1_000)
  const all = Promise.withResolvers<void>()
  turns.take('crowd', all.resolve)
  await all.promise
  expect(begun).toHaveLength(1_001)
  expect(turns.size).toBe(0)
})

test('the shares are a part of the memory, and a request of the largest size fits into the least', () => {
  for (const bytes of [leastMemoryBytes, 1024 ** 3, 16 * 1024 ** 3]) {
    const { bodyBytes, answerBytes, liveBytes, callsBytes } = shareMemory(bytes)
    expect(bodyBytes + answerBytes + liveBytes + callsBytes).toBeLessThan(bytes * 0.85)
    const asBase64 = (requestLimitBytes * 4) / 3
    expect(new BodyBudget(bodyBytes, nobody, asBase64).open('a').take(asBase64)).toBe(true)
  }
})
