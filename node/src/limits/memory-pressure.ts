/**
 * Collects garbage when the process comes near what it may take. V8 lets its heap grow with the memory of the
 * machine, and nobody can tell it of another limit once it runs.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** From this part of the limit on. */
const nearLimit = 0.65
const lookMs = 500
/** A collection takes at most this part of the time. */
const timeShare = 0.1

/** @returns stops it. */
export function collectUnderPressure(limitBytes: number): () => void {
  setFlagsFromString('--expose-gc')
  const collect: (how: object) => void = runInNewContext('gc')
  let againAtMs = 0
  const timer = setInterval(() => {
    const startedMs = performance.now()
    if (startedMs < againAtMs || process.memoryUsage.rss() < limitBytes * nearLimit) return
    collect({ type: 'major', flavor: 'last-resort' })
    againAtMs = performance.now() + (performance.now() - startedMs) / timeShare
  }, lookMs)
  timer.unref()
  return () => clearInterval(timer)
}
