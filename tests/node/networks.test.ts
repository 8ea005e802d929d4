/** Who has a /48 of IPv6 has 65,536 callers: together they may some times what one may, and no more. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { AnswerMemory } from '../../node/src/limits/answer-memory.ts'
import { networkOf } from '../../node/src/limits/networks.ts'
import { createRateLimits } from '../../node/src/limits/rate-limits.ts'
import { TokenBuckets } from '../../node/src/limits/token-buckets.ts'
import { BodyBudget } from '../../node/src/server/body-budget.ts'
import { nameCaller } from '../../node/src/server/caller.ts'
import { ConnectionGate } from '../../node/src/server/connection-gate.ts'

const nobody = (): boolean => false
const address = (n: number): string => `2001:db8:7:${n.toString(16)}::1`
const elsewhere = '2001:db8:8::1'
const callers = (count: number) =>
  Array.from({ length: count }, (_, n) => nameCaller(address(n + 1)))

test('the network of an IPv6 caller is its /48; one address of IPv4 is nobody else’s', () => {
  expect(networkOf(nameCaller('2001:db8:7:9::1'))).toBe('2001:db8:7::/48')
  expect(networkOf(nameCaller('192.0.2.1'))).toBeUndefined()
  expect(networkOf('local')).toBeUndefined()
})

test('requests, publishes, claims and streams of many callers of one network end', () => {
  const limits = createRateLimits(
    { requestsPerSecond: 1, requestsBurst: 10, openStreams: 3, claimedInstallationsBurst: 10 },
    { clock: () => 0 },
  )
  const all = callers(100)
  const other = nameCaller(elsewhere)
  const served = all.filter((caller) => {
    for (let n = 0; n < 10; n += 1) if (limits.request(caller) !== undefined) return false
    return true
  })
  expect(served).toHaveLength(16)
  expect(limits.request(other)).toBeUndefined()
  const open = all.flatMap((caller) =>
    [1, 2, 3, 4].filter(() => limits.openStream(caller, 0).kind === 'open'),
  )
  expect(open).toHaveLength(48)
  const claimed = all.filter(
    (caller) => limits.claim(caller, new Uint8Array(16), Array(10).fill('x')).kind === 'claim',
  )
  expect(claimed).toHaveLength(16)
  expect(limits.openStream(other, 0).kind).toBe('open')
})

test('one network has half of the memory for bodies and answers, and leaves the rest', async () => {
  const bodies = new BodyBudget(800, nobody)
  const took = callers(50).filter((caller) => bodies.open(caller).take(100))
  expect(took).toHaveLength(4)
  expect(bodies.open(nameCaller(elsewhere)).take(200)).toBe(true)

  const answers = new AnswerMemory({ limitBytes: 3_200, exempt: nobody })
  const held = callers(4).map((caller) => answers.open(caller, () => {}))
  for (const share of held) expect(await share.take(100, 1)).toBe(true)
  const next = answers.open(nameCaller(address(99)), () => {})
  expect(await next.take(100, 1)).toBe(false)
  expect(await answers.open(nameCaller(elsewhere), () => {}).take(200, 1)).toBe(true)
  const waiting = next.take(100, 60_000)
  held[0]?.release()
  expect(await waiting).toBe(true)
})

test('one network has eight times the connections of a caller', () => {
  const isProxy = (from: string | undefined) => from === address(999)
  const gate = new ConnectionGate({ total: 1_000, perCaller: 2, exempt: nobody, isProxy })
  const connect = (remoteAddress: string): boolean =>
    gate.admit(
      Object.assign(new EventEmitter(), { remoteAddress, destroy() {} }) as unknown as Socket,
    )
  const admitted = Array.from({ length: 100 }, (_, n) => connect(address(n + 1)))
  expect(admitted.filter((one) => one)).toHaveLength(16)
  expect(connect(elsewhere)).toBe(true)
  expect(connect(address(999))).toBe(true)
})

test('who touches more keys than are remembered does not fill the empty bucket of another', () => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 50, keysLimit: 1_000 })
  buckets.take('victim', 50, 0)
  for (let n = 0; n < 100_000; n += 1) buckets.take(`${n}`, 1, 0)
  expect(buckets.size).toBe(1_000)
  expect(buckets.waitMs('victim', 1, 0)).toBe(1_000)
})
