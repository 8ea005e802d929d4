/** Checks what an application passed. */

import { PadlockError } from '../errors.ts'
import {
  type Address,
  type ConversationId,
  parseAddress,
  parseConversationId,
} from '../protocol/ids.ts'
import type { ConversationPlace } from './model.ts'

/** @throws PadlockError invalid_address, with why */
export const checkAddress = (text: string): Address => {
  const address = parseAddress(text)
  if (!address.ok) throw new PadlockError('invalid_address', { details: { why: address.why } })
  return address.value
}

/** @throws PadlockError invalid_argument */
export const checkConversation = (text: string): ConversationId => {
  const conversation = parseConversationId(text)
  if (conversation.ok) return conversation.value.id
  throw new PadlockError('invalid_argument', { message: 'There is no such conversation.' })
}

/** @throws PadlockError invalid_argument */
export const checkConsent = (consent: string): void => {
  if (consent !== 'unknown' && consent !== 'allowed' && consent !== 'denied') {
    throw new PadlockError('invalid_argument', { message: 'Say allowed, denied or unknown.' })
  }
}

/** @throws PadlockError invalid_argument */
export const checkPlace = ({ id, createdAtMs, lastMessageAtMs }: ConversationPlace): void => {
  checkConversation(id)
  for (const ms of [createdAtMs, lastMessageAtMs ?? 0]) {
    if (!Number.isSafeInteger(ms) || ms < 0) throw new PadlockError('invalid_argument')
  }
}
