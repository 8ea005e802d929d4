/** The clients that are open in the page, by the names of their databases. */

import type { Client } from '../../src/facade/client.ts'

export interface Held {
  readonly client: Client
  readonly worker: Worker | undefined
}

export const held = new Map<string, Held>()

export const clientOf = (database: string): Client => {
  const found = held.get(database)
  if (!found) throw new Error(`${database} is not open`)
  return found.client
}
