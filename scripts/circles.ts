/**
 * Circles of imports: files that reach each other, by types too. Tarjan's algorithm for strongly
 * connected components (Depth-first search and linear graph algorithms, 1972).
 */

interface Visit {
  readonly index: number
  /** The least index that is reached from here. */
  low: number
}

/** The files of each circle, in the order of their names. */
export const findCircles = (
  imports: readonly { readonly from: string; readonly to: string }[],
): readonly (readonly string[])[] => {
  const targets = new Map<string, Set<string>>()
  for (const { from, to } of imports) targets.set(from, (targets.get(from) ?? new Set()).add(to))
  const visits = new Map<string, Visit>()
  const open: string[] = []
  const circles: string[][] = []

  const visit = (file: string): Visit => {
    const own: Visit = { index: visits.size, low: visits.size }
    visits.set(file, own)
    open.push(file)
    for (const target of targets.get(file) ?? []) {
      const known = visits.get(target)
      if (!known) own.low = Math.min(own.low, visit(target).low)
      else if (open.includes(target)) own.low = Math.min(own.low, known.index)
    }
    if (own.low === own.index) {
      const circle = open.splice(open.indexOf(file))
      if (circle.length > 1 || targets.get(file)?.has(file)) circles.push(circle.sort())
    }
    return own
  }
  for (const file of targets.keys()) if (!visits.has(file)) visit(file)
  return circles
}
