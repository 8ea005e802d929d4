/** Reads how many files and connections this process may open. */
import { readFileSync } from 'node:fs'

/** Reserved for the database, logs, the second port and Node itself. */
const reserve = 128

/**
 * How many connections the limit of open files leaves. Node raises that limit to the hard one at its
 * start. `Infinity` where the limit cannot be read: everywhere but on Linux.
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
