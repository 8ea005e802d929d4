/** Who a conversation is between: the one place that reads its id. */

import { expect, test } from 'vitest'
import {
  audienceOf,
  directConversation,
  isParticipant,
} from '../../../src/engine/messages/audience.ts'
import type { ConversationId } from '../../../src/protocol/ids.ts'
import { anAddress } from '../../support/engine-context.ts'

const [own, other, third] = [anAddress(), anAddress(), anAddress()]

test('a direct conversation is one between both, whoever begins it, and ours are the last', () => {
  const id = directConversation(own, other)
  expect(directConversation(other, own)).toBe(id)
  expect(audienceOf(id, own)).toEqual({ participants: [other, own], others: [other] })
  expect(audienceOf(id, other)).toEqual({ participants: [own, other], others: [own] })
})

test('a note to self reaches nobody else', () => {
  const id = directConversation(own, own)
  expect(audienceOf(id, own)).toEqual({ participants: [own], others: [] })
})

test('an account without a part in a conversation has no audience there', () => {
  const id = directConversation(own, other)
  expect(() => audienceOf(id, third)).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  expect([own, other, third].map((one) => isParticipant(id, one))).toEqual([true, true, false])
})

test('an id of another kind has no audience, and no participants', () => {
  const id = 'group:1' as ConversationId
  expect(() => audienceOf(id, own)).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  expect(isParticipant(id, own)).toBe(false)
})
