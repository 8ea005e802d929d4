/** The platform of browsers and their workers; Node has all of it too, so tests use it there. */

import { onAbort } from '../async.ts'
import type { HeldLock, Platform } from './platform.ts'

const wait = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const finish = () => {
      clearTimeout(timer)
      stopListening()
      resolve()
    }
    const timer = setTimeout(finish, ms)
    const stopListening = onAbort(signal, finish)
  })

const takeLock = (name: string, waitMs: number): Promise<HeldLock | undefined> =>
  new Promise((resolve, reject) => {
    const giveUp = new AbortController()
    const timer = setTimeout(() => giveUp.abort(), waitMs)
    let release: () => void = () => undefined
    const released = new Promise<void>((done) => {
      release = done
    })
    let tellLost: () => void = () => undefined
    const lost = new Promise<void>((tell) => {
      tellLost = tell
    })
    navigator.locks
      .request(name, { signal: giveUp.signal }, () => {
        clearTimeout(timer)
        resolve({ release, lost })
        return released
      })
      .catch((error: unknown) => {
        clearTimeout(timer)
        if (giveUp.signal.aborted) resolve(undefined)
        else {
          // The request for a held lock rejects only when another request steals it.
          tellLost()
          reject(error)
        }
      })
  })

export const browserPlatform: Platform = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  wait,
  takeLock,
  // A worker hears nothing of it: the page tells.
  onReturn: () => () => undefined,
}
