/** A SQLite node has no clock but its machine's: one that is wrong for a while deletes nobody's mail. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { dayNs, everything, inboxEnvelope, TestInstallation, testAccount } from './support.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const bob = new TestInstallation(testAccount('bob'), 'bob')
let file: string

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] })
  const folder = mkdtempSync(join(tmpdir(), 'padlock-clock-'))
  file = join(folder, 'node.sqlite')
  onTestFinished(() => rmSync(folder, { recursive: true }))
})
afterEach(() => {
  vi.useRealTimers()
})

function start() {
  const store = openSqliteStore({ file, retentionNs: 30n * dayNs })
  const read = async () =>
    (await store.page([{ topic: bob.inbox, afterSequence: 0n }], everything)).envelopes.length
  return { store, read }
}

/** A node with two envelopes in bob's inbox, swept a moment ago. */
async function startWithMail() {
  const node = start()
  const nowNs = BigInt(Date.now()) * 1_000_000n
  await node.store.publish([await bob.bundle(nowNs)])
  for (const name of ['a', 'b']) await node.store.publish([inboxEnvelope(bob, name)])
  await node.store.sweep()
  return node
}

test('a clock that is set 61 days ahead drops nothing until it has run for an hour', async () => {
  const { store, read } = await startWithMail()
  onTestFinished(() => store.close())
  vi.advanceTimersByTime(2 * hourMs)
  vi.setSystemTime(Date.now() + 61 * dayMs)
  await expect(store.sweep()).rejects.toThrow(/61 days ahead/)
  vi.advanceTimersByTime(hourMs / 2)
  await expect(store.sweep()).rejects.toThrow(/61 days ahead/)
  expect(await read()).toBe(2)
  // Set right, it goes on as if nothing had been; its time since then counts anew.
  vi.setSystemTime(Date.now() - 61 * dayMs)
  await store.sweep()
  expect(await read()).toBe(2)
  // Right it is all the same after a day's steps.
  for (let day = 0; day < 31; day += 1) {
    vi.advanceTimersByTime(dayMs)
    await store.sweep()
  }
  expect(await read()).toBe(1)
})

test('a node that stores before its first sweep, 61 days ahead, drops nothing of those who came before', async () => {
  // It ended within its first minute, and never dropped anything.
  const first = start()
  await first.store.publish([await bob.bundle(BigInt(Date.now()) * 1_000_000n)])
  await first.store.publish([inboxEnvelope(bob, 'a')])
  await first.store.close()
  vi.setSystemTime(Date.now() + 61 * dayMs)
  const second = start()
  onTestFinished(() => second.store.close())
  await second.store.publish([inboxEnvelope(bob, 'b')])
  await expect(second.store.sweep()).rejects.toThrow(/61 days ahead/)
  expect(await second.read()).toBe(2)
})

test('a node that starts 61 days later waits for an hour, and then drops what is too old', async () => {
  const first = await startWithMail()
  await first.store.close()
  vi.setSystemTime(Date.now() + 61 * dayMs)
  const second = start()
  onTestFinished(() => second.store.close())
  await expect(second.store.sweep()).rejects.toThrow(/61 days ahead/)
  expect(await second.read()).toBe(2)
  vi.advanceTimersByTime(hourMs + 1)
  await second.store.sweep()
  // The newest row of all stays until something newer is there.
  expect(await second.read()).toBe(1)
})
