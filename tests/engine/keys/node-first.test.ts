/** How long the node is waited for, before the wallet is asked and after. */
import { expect, test } from 'vitest'
import { askNodeFirst } from '../../../src/engine/keys/node-first.ts'
import { PadlockError } from '../../../src/errors.ts'

/** Waits for nothing, and notes for how long it was asked to. */
const aPlatform = () => {
  const waits: number[] = []
  return {
    waits,
    wait: async (ms: number) => void waits.push(ms),
    randomBytes: (length: number) => new Uint8Array(length),
  }
}

const never = new AbortController().signal

test('the wallet waits two seconds for the node', async () => {
  const platform = aPlatform()
  const isThere = Promise.withResolvers<string>()
  const node = await askNodeFirst(() => isThere.promise, platform, never)
  expect(platform.waits).toEqual([2_000])
  isThere.resolve('the node')
  expect(await node()).toBe('the node')
})

test('the node is asked again after ever longer pauses, and not before it wants to be', async () => {
  const platform = aPlatform()
  const failures = [undefined, undefined, 90_000]
  let asked = 0
  const ask = async () => {
    asked += 1
    if (asked === 1) await new Promise((resolve) => setImmediate(resolve))
    if (asked > failures.length) return 'the node'
    const retryAfterMs = failures[asked - 1]
    const details = retryAfterMs === undefined ? {} : { details: { retryAfterMs } }
    throw new PadlockError('network_unavailable', details)
  }
  const node = await askNodeFirst(ask, platform, never)
  expect(await node()).toBe('the node')
  // Half of each pause is chance, which is none here.
  expect(platform.waits).toEqual([2_000, 250, 500, 90_000])
})

test('who gives up meanwhile is not asked for again', async () => {
  const end = new AbortController()
  let asked = 0
  const ask = async () => {
    asked += 1
    await new Promise((resolve) => setImmediate(resolve))
    throw new PadlockError(end.signal.aborted ? 'aborted' : 'network_unavailable')
  }
  const platform = { ...aPlatform(), wait: async () => undefined }
  const node = await askNodeFirst(ask, platform, end.signal)
  end.abort()
  await expect(node()).rejects.toMatchObject({ code: 'aborted' })
  expect(asked).toBe(1)
})
