/** The loop that all background work of the engine runs in. */

import { expect, test } from 'vitest'
import { Backoff } from '../../../src/engine/runtime/backoff.ts'
import { TaskLoop, type TaskLoopOptions } from '../../../src/engine/runtime/task-loop.ts'
import { PadlockError } from '../../../src/errors.ts'
import { hourMs } from '../../../src/protocol/limits.ts'
import { until } from '../../support/engine.ts'
import { aPartWorld } from '../../support/engine-context.ts'

/** A loop over a task that does next what the test says; 10 s of rest if it says nothing. */
const aLoop = async (options: TaskLoopOptions = {}) => {
  const world = await aPartWorld()
  const next: (() => Promise<number>)[] = []
  let runs = 0
  const loop = new TaskLoop(
    world.context,
    async () => {
      runs += 1
      return next.shift()?.() ?? 10_000
    },
    options,
  )
  let isOver = false
  const run = () => {
    void loop.run().then(() => {
      isOver = true
    })
  }
  return {
    world,
    loop,
    next,
    run,
    runs: () => runs,
    isOver: () => isOver,
    rests: () => until(() => world.waits.length > 0),
    warned: () => world.context.status.current.warnings.map(({ code, count }) => [code, count]),
  }
}

const fail = (error: Error) => () => Promise.reject(error)

test('it runs at once, rests as long as the task says, and runs again when woken', async () => {
  const all = await aLoop()
  all.run()
  await all.rests()
  expect([all.runs(), ...all.world.waits]).toEqual([1, 10_000])
  all.world.turn(10_000)
  await until(() => all.runs() === 2)
  await all.rests()
  all.loop.wake()
  await until(() => all.runs() === 3)
})

test('without a rest it goes on at once', async () => {
  const all = await aLoop()
  all.next.push(
    async () => 0,
    async () => 0,
  )
  all.run()
  await all.rests()
  expect(all.runs()).toBe(3)
})

test('news that comes during a run is looked at in another run, once', async () => {
  const all = await aLoop()
  all.next.push(async () => {
    all.loop.wake()
    all.loop.wake()
    return 10_000
  })
  all.run()
  await until(() => all.runs() === 2)
  await all.rests()
  expect(all.runs()).toBe(2)
})

test('a failure is reported, and without a back-off rests an hour, or until something happens', async () => {
  const all = await aLoop()
  all.next.push(fail(new PadlockError('storage_full')), fail(new Error('what')))
  all.run()
  await all.rests()
  expect(all.world.waits).toEqual([hourMs])
  all.loop.wake()
  await until(() => all.runs() === 2)
  await all.rests()
  expect(all.warned()).toEqual([
    ['storage_full', 1],
    ['internal', 1],
  ])
  const short = await aLoop({ restMs: () => 60_000 })
  short.next.push(fail(new Error('what')))
  short.run()
  await short.rests()
  expect(short.world.waits).toEqual([60_000])
})

test('a task that failed with a back-off is not tried sooner because something else happened', async () => {
  const world = await aPartWorld()
  const all = await aLoop({ backoff: new Backoff(world.context.platform) })
  all.next.push(
    fail(new PadlockError('rate_limited', { details: { retryAfterMs: 20_000 } })),
    fail(new PadlockError('unavailable')),
  )
  all.run()
  await all.rests()
  expect(all.world.waits).toEqual([20_000])
  all.loop.wake()
  await Promise.resolve()
  expect(all.runs()).toBe(1)
  all.world.turn(20_000)
  await until(() => all.runs() === 2)
  await all.rests()
  // But at once when the connection is back.
  all.loop.retryNow()
  await until(() => all.runs() === 3)
})

test('a connection that comes back during a run that fails then ends the back-off too', async () => {
  const world = await aPartWorld()
  const all = await aLoop({ backoff: new Backoff(world.context.platform) })
  all.next.push(async () => {
    all.loop.retryNow()
    throw new PadlockError('unavailable')
  })
  all.run()
  await until(() => all.runs() === 2)
})

test('a loop can say itself what a failure means', async () => {
  const errors: unknown[] = []
  const all = await aLoop({ onError: (error) => errors.push(error) })
  const error = new Error('what')
  all.next.push(fail(error))
  all.run()
  await all.rests()
  expect(errors).toEqual([error])
  expect(all.warned()).toEqual([])
})

test('closing ends the loop, whatever it does, and reports nothing', async () => {
  const resting = await aLoop()
  resting.run()
  await resting.rests()
  resting.world.close()
  await until(() => resting.isOver())

  const world = await aPartWorld()
  const backingOff = await aLoop({ backoff: new Backoff(world.context.platform) })
  backingOff.next.push(fail(new PadlockError('unavailable')))
  backingOff.run()
  await backingOff.rests()
  backingOff.world.close()
  await until(() => backingOff.isOver())

  const working = await aLoop()
  working.next.push(async () => {
    working.world.close()
    throw new Error('torn down')
  })
  working.run()
  await until(() => working.isOver())
  expect([working.runs(), working.warned()]).toEqual([1, []])

  const closed = await aLoop()
  closed.world.close()
  closed.run()
  await until(() => closed.isOver())
  expect(closed.runs()).toBe(0)
})

test('a rest of a millisecond is one', async () => {
  const all = await aLoop()
  all.next.push(async () => 1)
  all.run()
  await all.rests()
  expect([all.runs(), ...all.world.waits]).toEqual([1, 1])
})
