/** Whether a process stays as large as it was: what it holds after each of many equal parts of a run. */

export interface Size {
  /** What it refers to, in MiB: a leak makes this larger. */
  readonly held: number
  /** What it takes of the machine's memory, in MiB: also what it freed and kept. */
  readonly resident: number
}

export interface Allowed {
  readonly held: number
  readonly resident: number
}

/** MiB. Bodies of 25 MiB come and go, a dozen at a time: a process keeps some of what they took. */
const allowed: Allowed = { held: 32, resident: 256 }

/** Fewer than this say nothing: the first third warms up, and the rest is compared by halves. */
export const fewestSizes = 6

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? Number.NaN

/** By how many MiB the later half of what follows the first third is larger than the earlier half. */
export function growthOf(sizes: readonly Size[], what: keyof Size): number {
  const warm = sizes.slice(Math.floor(sizes.length / 3)).map((size) => size[what])
  const middle = Math.floor(warm.length / 2)
  return Math.round(median(warm.slice(middle)) - median(warm.slice(0, middle)))
}

/** In a sentence each. */
export function growthFaults(sizes: readonly Size[], limits = allowed): string[] {
  if (sizes.length < fewestSizes) return [`only ${sizes.length} sizes were taken`]
  const faults: string[] = []
  for (const what of ['held', 'resident'] as const) {
    const growth = growthOf(sizes, what)
    // Not a number is a size that could not be read.
    if (!(growth <= limits[what])) faults.push(`${what} memory grew by ${growth} MiB`)
  }
  return faults
}
