/** Memory for answers: who reads waits for room, and who does not read loses its own. */
import { expect, test } from 'vitest'
import { AnswerMemory } from '../../node/src/limits/answer-memory.ts'

const nobody = (): boolean => false
const never = (): void => {
  throw new Error('cut')
}

test('one caller has a quarter, and waits until it gave some back; others do not wait for it', async () => {
  const memory = new AnswerMemory({ limitBytes: 1_600, exempt: nobody })
  const [first, second] = [memory.open('a', never), memory.open('a', never)]
  expect(await first.take(100, 1)).toBe(true)
  expect(await second.take(1, 1)).toBe(false)
  const waiting = second.take(50, 60_000)
  for (const caller of ['b', 'c', 'd']) {
    expect(await memory.open(caller, never).take(100, 60_000)).toBe(true)
  }
  expect(memory.used).toBe(1_600)
  first.keep(40)
  expect(await waiting).toBe(true)
  expect(memory.used).toBe(1_560)
  first.release()
  second.release()
  expect(memory.used).toBe(1_200)
})

test('an exempt caller may use all of it, and nobody more than there is', async () => {
  const memory = new AnswerMemory({ limitBytes: 1_600, exempt: (caller) => caller === 'a' })
  const share = memory.open('a', never)
  expect(await share.take(400, 1)).toBe(true)
  expect(share.isTight).toBe(true)
  expect(await memory.open('b', never).take(1, 1)).toBe(false)
})

test('an answer that ends while it waits gets nothing, then or later', async () => {
  const memory = new AnswerMemory({ limitBytes: 160, exempt: nobody })
  const holder = memory.open('a', never)
  await holder.take(10, 1)
  const share = memory.open('a', never)
  const waiting = share.take(10, 60_000)
  share.release()
  expect(await waiting).toBe(false)
  holder.release()
  expect(await share.take(10, 1)).toBe(false)
  expect(memory.used).toBe(0)
})

test('for somebody who waits, the answer that stood still at the largest holder is cut', async () => {
  const memory = new AnswerMemory({ limitBytes: 800, exempt: nobody, patienceMs: 20 })
  const cut: string[] = []
  const hold = async (caller: string, name: string, bytes: number) => {
    const share = memory.open(caller, () => cut.push(name))
    expect(await share.take(bytes, 1)).toBe(true)
    return share
  }
  await hold('a', 'a old', 20)
  await hold('a', 'a new', 30)
  await hold('b', 'b', 40)
  await hold('c', 'c', 50)
  const reading = await hold('d', 'd', 50)
  // Whoever reads is left alone, however much it holds.
  const timer = setInterval(reading.moved, 2)
  expect(await memory.open('e', never).take(20, 60_000)).toBe(true)
  clearInterval(timer)
  expect(cut).toEqual(['a old'])
})

test('who waits because of its own answers is served from those', async () => {
  const memory = new AnswerMemory({ limitBytes: 8_000, exempt: nobody, patienceMs: 20 })
  const cut: string[] = []
  await memory.open('a', () => cut.push('a')).take(500, 1)
  await memory.open('b', () => cut.push('b')).take(500, 1)
  expect(await memory.open('a', never).take(100, 60_000)).toBe(true)
  expect(cut).toEqual(['a'])
})
