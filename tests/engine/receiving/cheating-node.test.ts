/**
 * A node that cheats with a person's inbox (docs/protocol.md sections 5 and 8): what it withholds,
 * repeats, reorders, misdates, renumbers and forges there. Honest messages go on.
 */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import type { PadlockErrorCode } from '../../../src/errors.ts'
import { type Envelope, EnvelopeSchema } from '../../../src/gen/padlock/v1/node_pb.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  adds,
  greatest,
  misdates,
  numbersAnew,
  ofInboxes,
  renumbers,
  reorders,
  repeats,
  rewrites,
  withholds,
} from '../../support/cheating-node/tricks.ts'
import { aStage, expectHonest, say, shownTexts } from '../../support/cheating-stage.ts'
import { countOf, until, untilState, untilTexts } from '../../support/engine.ts'

interface InboxTrick {
  /** The section, and what must come of it. */
  readonly name: string
  readonly trick: () => Trick
  /** Of the four texts that are sent meanwhile, those that arrive, in their order. */
  readonly arrives: readonly string[]
  /** Whether it goes on while honest traffic does. */
  readonly stays?: boolean
  readonly warned: Partial<Record<PadlockErrorCode, number>>
}

const texts = ['first', 'second', 'third', 'fourth']

/** The n-th envelope of the inbox since the trick began. */
const nth = (...numbers: readonly number[]) => {
  const seen = new Map<string, number>()
  return ({ topic, message }: Envelope): boolean => {
    if (!topic.startsWith('message-') || message.length === 0) return false
    const name = Buffer.from(message).toString('base64')
    const number = seen.get(name) ?? seen.size + 1
    seen.set(name, number)
    return numbers.includes(number)
  }
}

const garbage = (at: number): Uint8Array => new Uint8Array(700).fill(at)

const tricks: readonly InboxTrick[] = [
  {
    name: 'section 5: an envelope that is withheld from an inbox is a gap, and those behind it arrive',
    trick: () => withholds(nth(1, 3)),
    arrives: ['second', 'fourth'],
    warned: { gap: 2 },
  },
  {
    name: 'section 8: an envelope that a stream repeats under its number is taken once',
    trick: () => repeats(ofInboxes, 3),
    arrives: texts,
    warned: { gap: 0, decryption_failed: 0 },
  },
  {
    name: 'section 7: an envelope that comes again under another number is a duplicate',
    trick: () => numbersAnew(ofInboxes, ({ message }) => [message, message]),
    arrives: texts,
    stays: true,
    warned: { duplicate_message: 6, gap: 0 },
  },
  {
    name: 'section 8: bytes that are no envelope are rejected, and counted',
    trick: () => numbersAnew(ofInboxes, ({ message }) => [garbage(1), message, garbage(0)]),
    arrives: texts,
    stays: true,
    warned: { malformed: 12, gap: 0 },
  },
  {
    name: 'section 7: envelopes in the opposite order all arrive, and stand in the order of the node',
    trick: () => reorders(ofInboxes, 4),
    arrives: [...texts].reverse(),
    warned: { decryption_failed: 0, duplicate_message: 0 },
  },
  {
    name: 'section 8: an envelope that was changed opens for nobody',
    trick: () =>
      rewrites(nth(2), (one) => ({
        ...one,
        message: one.message.map((byte, at) => (at === 200 ? byte ^ 1 : byte)),
      })),
    arrives: ['first', 'third', 'fourth'],
    warned: { unsealing_failed: 1 },
  },
  {
    name: 'section 11: an envelope over 1 MiB is rejected, whoever serves it',
    trick: () => rewrites(nth(2), (one) => ({ ...one, message: new Uint8Array(1024 * 1024 + 1) })),
    arrives: ['first', 'third', 'fourth'],
    warned: { too_large: 1 },
  },
  ...[`message-${'A'.repeat(43)}`, `prekey-${'A'.repeat(43)}`, 'contact-0xABC', 'nonsense', ''].map(
    (topic): InboxTrick => ({
      name: `section 5: an envelope on the topic “${topic}” is not read`,
      trick: () =>
        adds(nth(2), (one) =>
          create(EnvelopeSchema, { ...one, topic, sequence: one.sequence + 1n }),
        ),
      arrives: texts,
      warned: { gap: 0, not_for_us: 0, malformed: 0, duplicate_message: 0 },
    }),
  ),
  {
    name: 'section 5: a number that came before, or none, is not taken for news',
    trick: () => renumbers(nth(2), () => 0n),
    arrives: ['first', 'third', 'fourth'],
    warned: { gap: 1 },
  },
  {
    name: 'section 5: numbers with holes are gaps, and everything arrives',
    trick: () =>
      renumbers(
        ofInboxes,
        (sequence) => sequence * 1_000n,
        (sequence) => sequence / 1_000n,
      ),
    arrives: texts,
    stays: true,
    warned: { gap: 6 * 999 },
  },
  {
    name: 'section 8: times of the future and of no time move nobody’s messages out of the conversation',
    trick: () => {
      let turn = 0
      return misdates(ofInboxes, () => (turn++ % 2 === 0 ? greatest : 1n))
    },
    arrives: texts,
    warned: {},
  },
]

for (const { name, trick, arrives, stays, warned } of tricks) {
  test(name, async () => {
    const stage = await aStage()
    const { atAlice, atBob, id, node } = stage
    node.play(trick())
    for (const text of texts) await say(atAlice, id, text)
    expect(await untilTexts(atBob, id, arrives.length)).toEqual(arrives)
    if (!stays) node.behave()
    await expectHonest(stage)
    expect((await shownTexts(atBob, id)).sort()).toEqual([...arrives].sort())
    for (const [code, count] of Object.entries(warned)) {
      expect(countOf(atBob, code as PadlockErrorCode), code).toBe(count)
    }
  })
}

test('section 5: a number at the end of all numbers is a gap; it silences the inbox and nothing else', async () => {
  const { atAlice, atBob, id, node, openBob } = await aStage()
  node.play(renumbers(nth(2), () => greatest))
  for (const text of texts.slice(0, 2)) await say(atAlice, id, text)
  expect(await untilTexts(atBob, id, 2)).toEqual(['first', 'second'])
  node.behave()
  expect(countOf(atBob, 'gap')).toBe(Number(greatest - 2n))
  // Also across a restart: nothing is taken twice, and sending goes on.
  await atBob.engine.close()
  const again = await openBob()
  await untilState(again, 'live')
  await say(again, id, 'still here')
  expect(await untilTexts(atAlice, id, 3)).toEqual(['first', 'second', 'still here'])
  expect(await shownTexts(again, id)).toEqual(['first', 'second', 'still here'])
  expect(countOf(again, 'duplicate_message')).toBe(0)
})

test('section 7: digests are kept for 60 days though the node says that it keeps nothing, and no longer', async () => {
  const clock = aTurnedClock()
  const { world, atAlice, atBob, id, node, bobDatabase, openBob } = await aStage({ clock })
  await say(atAlice, id, 'hello')
  await untilTexts(atBob, id, 1)
  await atBob.engine.close()
  const digestsAfter = async (days: number) => {
    clock.turn(days * dayMs)
    const again = await openBob()
    await untilState(again, 'live')
    await say(again, id, `after ${days} days more`)
    await again.engine.close()
    const store = await world.openStore(bobDatabase)
    const rows = await store.all(tables.seen)
    await store.close()
    return rows.length
  }
  node.play({ info: (info) => ({ ...info, retentionNs: 1n }) })
  expect(await digestsAfter(59)).toBe(1)
  expect(await digestsAfter(0)).toBe(1)
  // While live, now and then.
  await until(async () => (await digestsAfter(3)) === 0)
})
