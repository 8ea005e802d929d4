/**
 * Who takes part in a conversation, and where its messages go. Only this file reads a
 * conversation's id: everything else asks for the audience, whatever the kind of conversation.
 */

import { PadlockError } from '../../errors.ts'
import {
  type Address,
  buildConversationId,
  type ConversationId,
  parseConversationId,
} from '../../protocol/ids.ts'
import type { Consents } from '../consent/consents.ts'
import type { Consent } from '../model.ts'

export interface Audience {
  /** The accounts whose installations get each message, ours last. */
  readonly participants: readonly Address[]
  /** All accounts but ours; none in a note to self. A message reaches each of them, or waits. */
  readonly others: readonly Address[]
}

/** @throws PadlockError invalid_argument if our account has no part in the conversation */
export const audienceOf = (id: ConversationId, own: Address): Audience => {
  const conversation = parseConversationId(id)
  if (!conversation.ok) throw new PadlockError('invalid_argument')
  const { participants } = conversation.value
  if (!participants.includes(own)) throw new PadlockError('invalid_argument')
  const others = participants.filter((address) => address !== own)
  return { participants: [...others, own], others }
}

/** What the person said of a conversation's other account. The note to self is allowed. */
export const consentOfConversation = (
  consents: Consents,
  id: string,
  own: Address,
): Promise<Consent> => {
  const conversation = parseConversationId(id)
  if (!conversation.ok) throw new PadlockError('storage_damaged')
  const other = conversation.value.participants.find((address) => address !== own)
  return consents.of(other ?? own)
}

/** The conversation between our account and another one; for our own address, the note to self. */
export const directConversation = (own: Address, other: Address): ConversationId =>
  buildConversationId(own, other)

/** Whether the installations of an account get the conversation's messages. */
export const isParticipant = (id: ConversationId, address: Address): boolean => {
  const conversation = parseConversationId(id)
  return conversation.ok && conversation.value.participants.includes(address)
}
