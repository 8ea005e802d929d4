/** All that leaves the programs of a simulation beside messages: lines, errors, events, and what is stored. */
import { inspect } from 'node:util'
import type { ClientEvent } from '../../src/engine/model.ts'
import { Secrets } from './secrets.ts'

export type Place =
  | 'lines'
  | 'errors'
  | 'status events'
  | 'all events'
  | 'databases'
  | "the node's data"

export class Evidence {
  readonly secrets = new Secrets()
  readonly #texts = new Map<Place, string[]>()
  readonly #bytes = new Map<Place, Buffer>()

  addText(place: Place, text: string): void {
    const texts = this.#texts.get(place)
    if (texts) texts.push(text)
    else this.#texts.set(place, [text])
  }

  addBytes(place: Place, bytes: Buffer): void {
    this.#bytes.set(place, Buffer.concat([this.#bytes.get(place) ?? Buffer.alloc(0), bytes]))
  }

  addError(error: unknown): void {
    this.addText('errors', describe(error))
  }

  addEvent(event: ClientEvent): void {
    const text = JSON.stringify(event)
    this.addText('all events', text)
    // The others are about a message or an installation, and name it.
    if (event.kind === 'status' || event.kind === 'envelopes') this.addText('status events', text)
  }

  of(place: Place): Buffer {
    const texts = (this.#texts.get(place) ?? []).join('\n')
    return Buffer.concat([Buffer.from(texts), this.#bytes.get(place) ?? Buffer.alloc(0)])
  }
}

/** All of an error that could be printed: its causes and details too. */
const describe = (error: unknown): string =>
  inspect(error, { depth: 8, maxStringLength: null, maxArrayLength: null, showHidden: true })
