/** One task after the other. */

import { expect, test } from 'vitest'
import { Mutex } from '../../../src/engine/runtime/mutex.ts'

test('tasks run one after the other, in the order of their asking', async () => {
  const mutex = new Mutex()
  const log: string[] = []
  let inside = 0
  const task = (name: string, turns: number) => async () => {
    inside += 1
    expect(inside).toBe(1)
    log.push(`${name} begins`)
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    log.push(`${name} ends`)
    inside -= 1
    return name
  }
  const results = await Promise.all([
    mutex.runExclusive(task('a', 5)),
    mutex.runExclusive(task('b', 0)),
    mutex.runExclusive(task('c', 2)),
  ])
  expect(results).toEqual(['a', 'b', 'c'])
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('a task that fails fails its caller and nobody else', async () => {
  const mutex = new Mutex()
  const failing = mutex.runExclusive(async () => {
    throw new Error('one')
  })
  const throwing = mutex.runExclusive(() => {
    throw new Error('two')
  })
  const good = mutex.runExclusive(async () => 3)
  await expect(failing).rejects.toThrow('one')
  await expect(throwing).rejects.toThrow('two')
  expect(await good).toBe(3)
})
