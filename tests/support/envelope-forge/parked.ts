/** Envelopes of senders who are not known yet. */

import { tables } from '../../../src/store/tables.ts'
import { anAccount } from '../engine.ts'
import { set } from './fields.ts'
import { forge, type Line } from './forge.ts'
import { said } from './judge.ts'
import { firstNodeNs, nodeStepNs, type Receiver } from './receiver.ts'

/** So many messages of a line, which say which one they are. */
export const several = (line: Line, count: number, name = 'message'): readonly Uint8Array[] => {
  const messages: Uint8Array[] = []
  let now = line
  for (let n = 0; n < count; n += 1) {
    const one = forge(now, said(`${name} ${n}`))
    messages.push(one.message)
    now = one.next
  }
  return messages
}

/** What was stored, in order of arrival: the last character of each content, and when the node had it. */
export const arrivals = async (bob: Receiver) => {
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 500 })
  return rows.map(({ value }) => ({
    text: new TextDecoder().decode(value.content).slice(-1),
    at: Number((value.nodeNs - firstNodeNs) / nodeStepNs),
  }))
}

export const times = (count: number, outcome: string) =>
  Array.from({ length: count }, () => outcome)

/** Envelopes that claim to be of as many accounts. */
export const strangers = (line: Line, count: number): readonly Uint8Array[] =>
  Array.from({ length: count }, () => {
    const address = anAccount().address.toLowerCase()
    return forge(line, { metadata: set(1, address) }).message
  })
