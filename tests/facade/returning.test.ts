/** When a page looks at its connection again. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { onReturn } from '../../src/facade/returning.ts'

const page = new EventTarget()
const document = Object.assign(new EventTarget(), { hidden: false })
const tell = vi.fn()
let stop: () => void

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
  vi.stubGlobal('document', document)
  tell.mockReset()
  stop = onReturn(tell)
})
afterEach(() => {
  stop()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

const look = (hidden: boolean) => {
  document.hidden = hidden
  document.dispatchEvent(new Event('visibilitychange'))
}

test.each([
  ['online', page],
  ['pageshow', page],
  ['resume', document],
] as const)('%s is told at once, until it is stopped', (type, target) => {
  target.dispatchEvent(new Event(type))
  expect(tell).toHaveBeenCalledTimes(1)
  stop()
  target.dispatchEvent(new Event(type))
  expect(tell).toHaveBeenCalledTimes(1)
})

test('a page that was out of view for longer than twenty seconds is told, one that was glanced away from is not', () => {
  look(true)
  vi.setSystemTime(Date.now() + 20_000)
  look(false)
  expect(tell).not.toHaveBeenCalled()
  look(true)
  vi.setSystemTime(Date.now() + 20_001)
  expect(tell).not.toHaveBeenCalled()
  look(false)
  expect(tell).toHaveBeenCalledTimes(1)
})

test('where there are no events nothing is told, and nothing fails', () => {
  vi.unstubAllGlobals()
  expect(() => onReturn(tell)()).not.toThrow()
})
