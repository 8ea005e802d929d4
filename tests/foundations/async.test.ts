/** The stand-ins for `Promise.withResolvers` and `AbortSignal.any`. */
import { expect, test, vi } from 'vitest'
import { deferred, joinSignals, onAbort, raceAbort } from '../../src/async.ts'

test('a deferred promise settles once, as its first settler says', async () => {
  const good = deferred<number>()
  good.resolve(1)
  good.resolve(2)
  good.reject(new Error('late'))
  await expect(good.promise).resolves.toBe(1)
  const bad = deferred()
  bad.reject('why')
  await expect(bad.promise).rejects.toBe('why')
})

test('a joined signal aborts with the first of the others, and with its reason', () => {
  const [one, two] = [new AbortController(), new AbortController()]
  const joined = joinSignals(one.signal, two.signal)
  expect(joined.signal.aborted).toBe(false)
  two.abort('enough')
  one.abort('later')
  expect(joined.signal).toMatchObject({ aborted: true, reason: 'enough' })
})

test('a signal that is aborted already aborts it at once', () => {
  const { signal } = joinSignals(new AbortController().signal, AbortSignal.abort('before'))
  expect(signal).toMatchObject({ aborted: true, reason: 'before' })
})

test.each(['released', 'aborted'])('when it is %s no listener stays on a signal', (end) => {
  const [longLived, other] = [new AbortController(), new AbortController()]
  const added = vi.spyOn(longLived.signal, 'addEventListener')
  const removed = vi.spyOn(longLived.signal, 'removeEventListener')
  const joined = joinSignals(longLived.signal, other.signal)
  if (end === 'aborted') other.abort()
  else joined.release()
  expect(removed.mock.calls.map((call) => call[1])).toEqual(added.mock.calls.map((call) => call[1]))
  longLived.abort()
  expect(joined.signal.aborted).toBe(end === 'aborted')
})

test('raceAbort gives what the promise gives, or the reason as soon as the signal says so', async () => {
  const controller = new AbortController()
  const never = new Promise<string>(() => undefined)
  await expect(raceAbort(Promise.resolve('done'), controller.signal, Error)).resolves.toBe('done')
  await expect(raceAbort(Promise.resolve('done'), undefined, Error)).resolves.toBe('done')
  const waiting = raceAbort(never, controller.signal, () => new Error('given up'))
  controller.abort()
  await expect(waiting).rejects.toThrow('given up')
  for (const promise of [never, Promise.resolve('done')]) {
    const late = raceAbort(promise, controller.signal, () => new Error('late'))
    await expect(late).rejects.toThrow('late')
  }
})

test('raceAbort and onAbort leave no listener on a signal that lives on', async () => {
  const { signal } = new AbortController()
  const added = vi.spyOn(signal, 'addEventListener')
  const removed = vi.spyOn(signal, 'removeEventListener')
  await raceAbort(Promise.resolve(), signal, Error)
  onAbort(signal, () => undefined)()
  expect(added).toHaveBeenCalledTimes(2)
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
    added.mock.calls.map(([, listener]) => listener),
  )
})

test('onAbort calls at once for a signal that has aborted, and never twice', () => {
  const controller = new AbortController()
  const called = vi.fn()
  onAbort(controller.signal, called)
  controller.abort()
  controller.abort()
  expect(called).toHaveBeenCalledTimes(1)
  onAbort(controller.signal, called)
  expect(called).toHaveBeenCalledTimes(2)
  onAbort(undefined, called)()
  expect(called).toHaveBeenCalledTimes(2)
})
