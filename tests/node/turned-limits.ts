/** Rate limits under a clock that a test turns. */
import { createRateLimits } from '../../node/src/limits/rate-limits.ts'
import { type Rates, rateDefaults } from '../../node/src/limits/rates.ts'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs
const noRates = Object.fromEntries(Object.keys(rateDefaults).map((name) => [name, 0])) as Record<
  keyof Rates,
  number
>

/** Milliseconds that only move when a test turns them. */
export function testTime() {
  const time = () => time.nowMs
  // As after three years without a restart: times are still exact.
  time.nowMs = 1_095 * dayMs
  return time
}
type TestTime = ReturnType<typeof testTime>

/** Limits of these rates and of no others. */
export const limitsOf = (rates: Partial<Rates>, time: TestTime) =>
  createRateLimits({ ...noRates, ...rates }, { clock: time })
