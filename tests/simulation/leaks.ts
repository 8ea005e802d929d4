/** Looks for every secret in everything that a simulation left behind. */
import type { Evidence, Place } from './evidence.ts'
import type { Needles } from './needles.ts'

export interface LeakReport {
  /** What was looked for, and how many bytes were looked through. */
  readonly looked: Readonly<Record<string, number>>
  /** Where something was found: `place: name, form`. */
  readonly found: readonly string[]
}

export const searchForLeaks = (evidence: Evidence): LeakReport => {
  const { keys, sessions, plaintexts, names } = evidence.secrets
  const rules: readonly (readonly [Place, readonly Needles[]])[] = [
    ['lines', [keys, sessions, plaintexts, names]],
    ['errors', [keys, sessions, plaintexts, names]],
    ['status events', [keys, sessions, plaintexts, names]],
    ['all events', [keys, sessions]],
    ['databases', [keys, sessions, plaintexts, names]],
    // A node knows who has which installations; sessions hold public keys, which it has too.
    ["the node's data", [keys, plaintexts]],
  ]
  const looked: Record<string, number> = {
    keys: keys.size,
    sessions: sessions.size,
    plaintexts: plaintexts.size,
    names: names.size,
  }
  const found = rules.flatMap(([place, needles]) => {
    const hay = evidence.of(place)
    looked[`bytes of ${place}`] = hay.length
    return needles.flatMap((some) => some.search(hay).map((name) => `${place}: ${name}`))
  })
  return { looked, found }
}
