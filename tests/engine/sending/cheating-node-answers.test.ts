/**
 * A node that cheats with what is published (docs/protocol.md sections 5, 8 and 13): wrong receipts, mail
 * that it says it has, refusals that are not true and codes that nobody knows. Whatever it answers, a
 * message is sent once, or waits and says why.
 */

import { create } from '@bufbuild/protobuf'
import { Code } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import type { PadlockErrorCode } from '../../../src/errors.ts'
import {
  EnvelopeSchema,
  QueryResponseSchema,
  ReceiptSchema,
} from '../../../src/gen/padlock/v1/node_pb.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  answersPublish,
  aRefusal,
  greatest,
  refuses,
  saysStored,
} from '../../support/cheating-node/tricks.ts'
import { aStage, expectHonest, say, shownTexts } from '../../support/cheating-stage.ts'
import { countOf, never, until, untilTexts } from '../../support/engine.ts'

const ofInboxes = (topic: string): boolean => topic.startsWith('message-')

interface AnswerTrick {
  readonly name: string
  readonly trick: () => Trick
  /** What the victim tells of it; it waits, and tries again with the same bytes. */
  readonly warned: PadlockErrorCode
}

const waiting: readonly AnswerTrick[] = [
  {
    name: 'section 5: an answer with fewer receipts than envelopes is no answer',
    trick: () => answersPublish(ofInboxes, () => []),
    warned: 'bad_response',
  },
  {
    name: 'section 5: an answer with more receipts than envelopes is no answer',
    trick: () => answersPublish(ofInboxes, (receipts) => [...receipts, ...receipts]),
    warned: 'bad_response',
  },
  {
    name: 'section 8: a recipient who is said to be gone, and is not revoked, is written to again',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.FailedPrecondition, 'recipient_gone')),
    warned: 'node_withholding',
  },
  {
    name: 'section 10: a recipient who is said to be gone, and whose bundle is hidden since, is written to again',
    trick: () => ({
      ...refuses(ofInboxes, () => aRefusal(Code.FailedPrecondition, 'recipient_gone')),
      query: async (request, real) => {
        const page = await real(request)
        const isFromStart = request.topics.some(({ afterSequence }) => afterSequence === 0n)
        return isFromStart ? { ...page, envelopes: [], hasMore: false } : page
      },
    }),
    warned: 'node_withholding',
  },
  {
    name: 'section 10: a recipient who is said to be gone, and whose log has no end since, is written to again',
    trick: () => ({
      ...refuses(ofInboxes, () => aRefusal(Code.FailedPrecondition, 'recipient_gone')),
      query: async (request, real) => {
        const [asked] = request.topics
        // Looked for from the beginning, alone.
        if (!asked || request.topics.length > 1) return real(request)
        const sequence = asked.afterSequence + 1n
        const message = new Uint8Array(40).fill(1)
        const envelope = create(EnvelopeSchema, {
          topic: asked.topic,
          sequence,
          nodeNs: 1n,
          message,
        })
        return create(QueryResponseSchema, { envelopes: [envelope], hasMore: true })
      },
    }),
    warned: 'node_withholding',
  },
  {
    name: 'section 8: a recipient at no place in the request is nobody',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.FailedPrecondition, 'recipient_gone', 77)),
    warned: 'bad_response',
  },
  {
    name: 'section 13: a refusal of an envelope at no place in the request refuses none',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.InvalidArgument, 'bad_signature', 77)),
    warned: 'bad_response',
  },
  {
    name: 'section 13: a final code of a later release makes nobody give up',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.FailedPrecondition, 'from_the_future')),
    warned: 'incompatible_node',
  },
  {
    name: 'section 13: a passing code of a later release is tried again',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.Unavailable, 'from_the_future')),
    warned: 'unavailable',
  },
  {
    name: 'section 13: a node does not speak for this machine',
    trick: () => refuses(ofInboxes, () => aRefusal(Code.InvalidArgument, 'storage_damaged')),
    warned: 'incompatible_node',
  },
]

for (const { name, trick, warned } of waiting) {
  test(name, async () => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node } = stage
    node.published.length = 0
    node.play(trick())
    const { id: messageId } = await atBob.engine.send(id, 'once')
    await until(() => countOf(atBob, warned) > 0)
    const [message] = await atBob.engine.history(id, undefined, 1)
    expect(message).toMatchObject({ id: messageId, state: 'pending' })
    expect(message?.reason).toBeUndefined()
    node.behave()
    node.hangUp()
    expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
    await say(atBob, id, 'and on')
    expect(await untilTexts(atAlice, id, 4)).toEqual(['one', 'two', 'once', 'and on'])
    // The same bytes each time: a ratchet is not moved by a node's lies.
    const tried = new Set(
      node.published
        .filter(({ topic }) => ofInboxes(topic))
        .map(({ message: bytes }) => Buffer.from(bytes).toString('base64')),
    )
    expect(tried.size).toBe(2)
    await expectHonest(stage)
    expect(await shownTexts(atAlice, id)).toEqual(['one', 'two', 'once', 'and on'])
  })
}

test('section 13: a message that is said to be no good stays and says why; those behind it go', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node } = stage
  node.play(refuses(ofInboxes, () => aRefusal(Code.InvalidArgument, 'too_large')))
  const { id: refused } = await atBob.engine.send(id, 'too large, it says')
  await until(async () => (await atBob.engine.history(id, undefined, 1))[0]?.reason === 'too_large')
  node.behave()
  await say(atBob, id, 'and this')
  expect(await untilTexts(atAlice, id, 3)).toEqual(['one', 'two', 'and this'])
  const shown = await atBob.engine.history(id, undefined, 10)
  expect(shown.find((message) => message.id === refused)).toMatchObject({
    state: 'pending',
    reason: 'too_large',
  })
  expect(countOf(atBob, 'too_large')).toBe(1)
  await expectHonest(stage)
})

test.each([
  { when: 'at no time', receipt: { sequence: 0n, nodeNs: 0n } },
  {
    when: 'at the end of time',
    receipt: { sequence: greatest, nodeNs: greatest },
  },
])(
  'section 5: a message that is said to be stored $when is sent, across a restart too',
  async ({ receipt }) => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node } = stage
    node.play(
      answersPublish(ofInboxes, (receipts) => receipts.map(() => create(ReceiptSchema, receipt))),
    )
    await say(atBob, id, 'three')
    node.behave()
    await say(atBob, id, 'four')
    expect(await untilTexts(atAlice, id, 4)).toEqual(['one', 'two', 'three', 'four'])
    await expectHonest(stage)
    await atBob.engine.close()
    const again = await stage.openBob()
    await say(again, id, 'five')
    expect(await untilTexts(atAlice, id, 5)).toEqual(['one', 'two', 'three', 'four', 'five'])
    const shown = await again.engine.history(id, undefined, 10)
    expect(shown.map(({ state }) => state)).toEqual(['sent', 'sent', 'sent', 'sent', 'received'])
    expect(shown.map(({ content }) => content).sort()).toEqual(
      ['five', 'four', 'one', 'three', 'two'].sort(),
    )
  },
)

test('section 12: a message that a node says it has and drops is lost alone; the next ones are decrypted', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node } = stage
  const stop = node.play(saysStored(ofInboxes, { sequence: 9n, nodeNs: stage.world.node.clock() }))
  for (const text of ['lost', 'lost too']) await say(atBob, id, text)
  stop()
  await say(atBob, id, 'still here')
  expect(await untilTexts(atAlice, id, 3)).toEqual(['one', 'two', 'still here'])
  await say(atAlice, id, 'so am I')
  expect((await untilTexts(atBob, id, 6)).at(-1)).toBe('so am I')
  expect(countOf(atAlice, 'decryption_failed')).toBe(0)
  await expectHonest(stage)
})
