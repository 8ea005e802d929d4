/** What happened, line by line, and how often: the same bytes whenever a seed is repeated. */
import { createHash } from 'node:crypto'
import type { VirtualTime } from './virtual-time.ts'

export class Journal {
  readonly #time: VirtualTime
  readonly #listen: (line: string) => void
  readonly #hash = createHash('sha256')
  readonly #counts = new Map<string, number>()
  /** What must not happen in an honest world. */
  readonly problems: string[] = []

  /** @param listen hears every line */
  constructor(time: VirtualTime, listen: (line: string) => void) {
    this.#time = time
    this.#listen = listen
  }

  note(line: string): void {
    const full = `${this.#time.nowMs.toFixed(3).padStart(14)}  ${line}`
    this.#hash.update(`${full}\n`)
    this.#listen(full)
  }

  /** A fault that was put in. */
  fault(kind: string, where: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    this.note(`${where}: ${kind}`)
  }

  problem(line: string): void {
    if (this.problems.includes(line)) return
    this.problems.push(line)
    this.note(`PROBLEM ${line}`)
  }

  /** Faults by kind. */
  get faults(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** SHA-256 of all lines so far. */
  get digest(): string {
    return this.#hash.copy().digest('hex')
  }
}
