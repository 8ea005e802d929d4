/** Delivers one changed envelope and holds its outcome, its rows and what follows against the protocol. */

import { expect } from 'vitest'
import type { PadlockErrorCode } from '../../../src/errors.ts'
import { type MessageRecord, MessageState, tables } from '../../../src/store/tables.ts'
import { must } from '../checked.ts'
import { set } from './fields.ts'
import { type Changes, type Forged, forge, type Line, textContent } from './forge.ts'
import { aReceiver, type Delivery, type Receiver, type ReceiverOptions } from './receiver.ts'

/** A good envelope with something changed, and what the protocol says of it. */
export interface Case {
  /** What is changed, as the subject of a sentence. */
  readonly what: string
  readonly changes: Changes | ((line: Line, receiver: Receiver) => Changes | Promise<Changes>)
  /** `kept`, `rejected(malformed)`, …. */
  readonly outcome: string
}

/** What the session begins with: a one-time key, the fallback key, or it is in use already. */
export type LineKind = 'one-time' | 'fallback' | 'established'

export const aLine = async (bob: Receiver, kind: LineKind): Promise<Line> => {
  const sender = await bob.sender()
  if (kind === 'established') {
    // The first message begins the sender's chain, with a key that is random each time.
    const first = forge(await bob.established(sender), said('first'))
    await bob.deliver(first.message)
    return first.next
  }
  return kind === 'fallback' ? bob.begin(sender, bob.fallback) : bob.begin(sender)
}

/** What a message that is kept changes, in its one transaction. */
export const keptChanges = (kind: LineKind): readonly string[] =>
  [
    ...(kind === 'one-time' ? ['account *1'] : []),
    kind === 'established' ? 'conversations *1' : 'conversations +1',
    'cursors *1',
    'messages +1',
    'seen +1',
    kind === 'established' ? 'sessions *1' : 'sessions +1',
  ].sort()

/** What saves the ratchet and nothing else: step 5 refused, or nothing was to be stored. */
export const ratchetChanges = (kind: LineKind): readonly string[] =>
  keptChanges(kind).filter((change) => !/^(conversations|messages)/.test(change))

/** The code in an outcome. */
const codeIn = (outcome: string): PadlockErrorCode | undefined => {
  const code = /\((\w+)\)/.exec(outcome)?.[1]
  if (code !== undefined) return code as PadlockErrorCode
  if (outcome === 'duplicate') return 'duplicate_message'
  return outcome === 'unsupported_version' ? outcome : undefined
}

const deliverCase = async (
  bob: Receiver,
  line: Line,
  { changes }: Case,
): Promise<{ readonly forged: Forged; readonly delivery: Delivery }> => {
  const forged = forge(line, typeof changes === 'function' ? await changes(line, bob) : changes)
  return { forged, delivery: await bob.deliver(forged.message) }
}

/** Steps 1 to 4: whatever was wrong, the same message of the same session is read right after it. */
export const expectRefused = async (
  one: Case,
  kinds: readonly LineKind[],
  options: ReceiverOptions = {},
): Promise<void> => {
  const bob = await aReceiver(options)
  for (const kind of kinds) {
    const line = await aLine(bob, kind)
    const code = must(codeIn(one.outcome))
    const before = bob.countOf(code)
    const sessions = await bob.store.all(tables.sessions)
    const { forged, delivery } = await deliverCase(bob, line, one)
    const isAsked = one.outcome.startsWith('undecryptable')
    expect(delivery, kind).toEqual({
      outcomes: [one.outcome],
      changes: isAsked ? ['cursors *1', 'recovery +1'] : ['cursors *1'],
      transactions: 1,
      queries: 0,
      requests: [],
      claims: [],
    })
    expect(bob.countOf(code), kind).toBe(before + 1)
    expect(await bob.store.all(tables.sessions)).toEqual(sessions)
    const asked = (await bob.store.all(tables.recovery)).filter(
      ({ value }) => value.installationId === line.from.id,
    )
    expect(asked.flatMap(({ value }) => value.missing.map(({ digest }) => digest))).toEqual(
      isAsked ? [forged.digest] : [],
    )

    const good = await bob.deliver(forge(line).message)
    expect(good.outcomes, `${kind}: the good one`).toEqual(['kept'])
    expect(good.changes, `${kind}: the good one`).toEqual(keptChanges(kind))
    expect(good.transactions).toBe(1)
  }
}

export const messageOf = ({ message }: Forged): Uint8Array => message

/** A text of one's own: two messages that say the same at the same time are one. */
export const said = (text: string): Changes => ({ payload: set(4, textContent(text)) })

/**
 * Step 5: the ratchet is saved whatever was wrong, so that the envelope is a duplicate from then on and
 * the next message is read.
 */
export const expectRejectedAfterDecryption = async (
  one: Case,
  kinds: readonly LineKind[],
): Promise<void> => {
  const bob = await aReceiver()
  for (const kind of kinds) {
    const line = await aLine(bob, kind)
    const code = must(codeIn(one.outcome))
    const before = bob.countOf(code)
    const { forged, delivery } = await deliverCase(bob, line, one)
    const kept = one.outcome === 'unsupported_version' ? ['setAside +1'] : []
    expect(delivery, kind).toEqual({
      outcomes: [one.outcome],
      changes: [...ratchetChanges(kind), ...kept].sort(),
      transactions: 1,
      queries: 0,
      requests: [],
      claims: [],
    })
    expect(bob.countOf(code), kind).toBe(before + 1)
    expect(await bob.store.all(tables.recovery)).toEqual([])
    if (kept.length > 0) {
      const aside = await bob.store.all(tables.setAside)
      expect(aside.at(-1)?.value).toMatchObject({
        address: line.from.address,
        installationId: line.from.id,
      })
      expect(aside.at(-1)?.value.payload.subarray(0, forged.payload.length)).toEqual(forged.payload)
    }
    expect((await bob.deliver(forged.message)).outcomes, `${kind}: again`).toEqual(['duplicate'])
    const next = await bob.deliver(forge(forged.next, said('next')).message)
    expect(next.outcomes, `${kind}: the next`).toEqual(['kept'])
  }
}

/** What is good however it looks; returns the messages that were stored of it. */
export const expectKept = async (
  one: Case,
  kinds: readonly LineKind[],
  options?: ReceiverOptions,
) => {
  const bob = await aReceiver(options)
  const kept: MessageRecord[] = []
  for (const kind of kinds) {
    const line = await aLine(bob, kind)
    const { delivery } = await deliverCase(bob, line, one)
    expect(delivery, kind).toMatchObject({ outcomes: ['kept'], transactions: 1 })
    expect(delivery.changes, kind).toEqual(keptChanges(kind))
    const rows = await bob.store.scan(tables.messages, { after: 0, limit: 500 })
    const { value } = must(rows.rows.at(-1))
    expect(value).toMatchObject({
      sender: line.from.address,
      senderInstallation: line.from.id,
      state: MessageState.RECEIVED,
    })
    kept.push(value)
  }
  return { bob, kept }
}
