/** Many byte strings that are looked for at once, in all the forms in which they might lie somewhere. */
import { formsOf, type Marker } from '../store/dump.ts'

interface Needle {
  readonly name: string
  readonly form: string
  readonly bytes: Uint8Array
}

const filterBits = 22

export class Needles {
  /** By their first four bytes. */
  readonly #needles = new Map<number, Needle[]>()
  /** Says no quickly to most places. */
  readonly #filter = new Uint8Array(1 << (filterBits - 3))
  #size = 0

  /** How many things are looked for. */
  get size(): number {
    return this.#size
  }

  add(marker: Marker): void {
    this.#size += 1
    for (const [form, bytes] of formsOf(marker)) {
      if (bytes.length < 8) continue
      const start = bytes.readUInt32LE(0)
      const known = this.#needles.get(start)
      const needle = { name: marker.name, form, bytes }
      if (known) known.push(needle)
      else this.#needles.set(start, [needle])
      const bit = hash(start)
      this.#filter[bit >> 3] = (this.#filter[bit >> 3] ?? 0) | (1 << (bit & 7))
    }
  }

  /** Names and forms of what was found, each once. */
  search(hay: Buffer): readonly string[] {
    const found = new Set<string>()
    let window = 0
    for (let at = 0; at < hay.length; at += 1) {
      window = ((window >>> 8) | ((hay[at] ?? 0) << 24)) >>> 0
      if (at < 3) continue
      const bit = hash(window)
      if (((this.#filter[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) continue
      for (const { name, form, bytes } of this.#needles.get(window) ?? []) {
        const start = at - 3
        if (hay.subarray(start, start + bytes.length).equals(bytes)) found.add(`${name}, ${form}`)
      }
    }
    return [...found]
  }
}

const hash = (value: number): number => Math.imul(value, 0x9e3779b1) >>> (32 - filterBits)
