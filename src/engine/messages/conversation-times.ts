/**
 * When something last happened in a conversation, by which conversations are listed: node time, and our
 * own clock only as long as there is no other. A clock that was wrong is corrected by what comes next.
 */

import type { Address, ConversationId } from '../../protocol/ids.ts'
import { minuteMs } from '../../protocol/limits.ts'
import type { Fields } from '../../store/store.ts'
import { ConversationKind, type ConversationRecord, StoredConsent } from '../../store/tables.ts'
import type { Context } from '../runtime/context.ts'
import { nsToMs } from '../runtime/node-time.ts'
import { audienceOf } from './audience.ts'
import type { NewMessage } from './message-records.ts'

/** How far from node time a time may be that our own clock gave. */
const errorMs = 5 * minuteMs

export type MessageTime = Pick<NewMessage, 'conversationId' | 'nodeNs'>

/** Node time of the newest message of each conversation. */
export const newestMsOf = (messages: readonly MessageTime[]) => {
  const newestMs = new Map<ConversationId, number>()
  for (const { conversationId, nodeNs } of messages) {
    newestMs.set(conversationId, Math.max(newestMs.get(conversationId) ?? 0, nsToMs(nodeNs)))
  }
  return newestMs
}

/** The record after a message of this time. @param known undefined if there is none yet */
export const recordAfter = (
  { account, time }: Pick<Context, 'account' | 'time'>,
  id: ConversationId,
  known: Fields<ConversationRecord> | undefined,
  messageMs: number,
): Fields<ConversationRecord> => {
  const lastMs = Number(known?.lastMessageMs ?? 0n)
  const isWrong = time.isAhead(lastMs, errorMs)
  return {
    conversationId: id,
    kind: ConversationKind.DIRECT,
    peer: known?.peer ?? otherOf(id, account.address),
    createdMs: known?.createdMs ?? BigInt(time.shownMs()),
    consent: known?.consent ?? StoredConsent.UNSPECIFIED,
    messages: known?.messages ?? 0,
    lastMessageMs: BigInt(isWrong ? messageMs : Math.max(messageMs, lastMs)),
  }
}

/** The record once node time is known of its message; undefined if its time was about right. */
export const recordCorrected = (
  context: Pick<Context, 'account' | 'time'>,
  id: ConversationId,
  known: Fields<ConversationRecord>,
  messageMs: number,
): Fields<ConversationRecord> | undefined => {
  const lastMs = Number(known.lastMessageMs)
  const isRight = !context.time.isAhead(lastMs, errorMs) && messageMs - lastMs < errorMs
  return isRight ? undefined : recordAfter(context, id, known, messageMs)
}

const otherOf = (id: ConversationId, own: Address): Address => audienceOf(id, own).others[0] ?? own
