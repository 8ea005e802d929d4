/**
 * What time a node says it is. Everything that needs the time takes a `Clock`, so that tests can
 * turn it.
 */

/** Nanoseconds since the Unix epoch. */
export type Clock = () => bigint

/** The machine's clock: milliseconds, in nanoseconds. */
export const systemClock: Clock = () => BigInt(Date.now()) * 1_000_000n

export const minuteNs = 60_000_000_000n
export const dayNs = 24n * 60n * minuteNs
