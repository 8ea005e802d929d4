/** How many files and connections this process may have open. */
import { readFileSync } from 'node:fs'

/** Kept for the database, logs, the second port and what Node itself opens. */
const reserve = 128

/**
 * How many connections the limit of open files leaves; Node raises it to the hard limit at its start.
 * `Infinity` where it cannot be read, which is everywhere but on Linux.
 */
export function connectionsByDescriptors(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? []
    return soft === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Number(soft) - reserve)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
