/** A message as it lies in the store, as an application sees it, and its place in the conversation. */

import { decodeContent } from '../../content/registry.ts'
import { isPadlockErrorCode, PadlockError } from '../../errors.ts'
import { encodeHex } from '../../protocol/bytes.ts'
import {
  type Address,
  type ConversationId,
  formatAddress,
  type InstallationId,
  type MessageId,
  parseCanonicalAddress,
} from '../../protocol/ids.ts'
import type { Fields, Row } from '../../store/store.ts'
import { type MessageRecord, MessageState, messageOrder } from '../../store/tables.ts'
import type { Consent, Message } from '../model.ts'
import { nsToMs } from '../runtime/node-time.ts'

/** If the sender's clock is further ahead of the node's, node time is shown (section 8, Order). */
const shownAheadNs = 300_000_000_000n

export interface NewMessage {
  readonly id: MessageId
  readonly conversationId: ConversationId
  readonly sender: Address
  readonly senderInstallation: InstallationId
  readonly composedNs: bigint
  readonly nodeNs: bigint
  readonly content: Uint8Array
  readonly state: 'pending' | 'sent' | 'received'
}

const stateNumbers = {
  pending: MessageState.PENDING,
  sent: MessageState.SENT,
  received: MessageState.RECEIVED,
} as const

export const toMessageRecord = (message: NewMessage) => ({
  messageId: message.id,
  conversationId: message.conversationId,
  sender: message.sender,
  senderInstallation: message.senderInstallation,
  composedNs: message.composedNs,
  nodeNs: message.nodeNs,
  content: message.content,
  state: stateNumbers[message.state],
  reason: '',
  deleted: false,
})

/**
 * A message of the store as an application sees it.
 *
 * @param own our account's address
 * @param consent what the person said of the conversation's other account
 */
export const describeMessage = async (
  { value, number }: Row<Fields<MessageRecord>>,
  own: Address,
  consent: Consent,
): Promise<Message> => {
  const sender = parseCanonicalAddress(value.sender)
  if (!sender.ok) throw new PadlockError('storage_damaged')
  const content = await decodeContent(value.content)
  const isOwn = value.sender === own
  const base = {
    id: value.messageId,
    cursor: String(number),
    order: `${encodeHex(messageOrder(value.nodeNs, value.composedNs))}${value.messageId}`,
    conversationId: value.conversationId,
    consent,
    sender: formatAddress(sender.value),
    senderInstallation: value.senderInstallation,
    isOwn,
    sentAtMs: nsToMs(shownNs(value)),
    state: stateOf(value.state),
    ...(isPadlockErrorCode(value.reason) ? { reason: value.reason } : {}),
  }
  if (content.type !== 'unknown') return { ...base, ...content }
  return {
    ...base,
    type: 'unknown',
    contentType: content.typeId,
    content: undefined,
    ...(content.fallback === undefined ? {} : { fallback: content.fallback }),
    ...(content.reason === undefined ? {} : { reason: content.reason }),
  }
}

/** `composed_ns`, or `node_ns` if the sender's clock is too far ahead; for display only. */
const shownNs = ({ composedNs, nodeNs }: Fields<MessageRecord>): bigint =>
  nodeNs > 0n && composedNs > nodeNs + shownAheadNs ? nodeNs : composedNs

/** `node_ns`, `composed_ns`, message id; pending ones last. */
export const compareMessages = (a: MessageRecord, b: MessageRecord): number => {
  const isLate = (record: MessageRecord) => (record.nodeNs === 0n ? 1 : 0)
  if (isLate(a) !== isLate(b)) return isLate(a) - isLate(b)
  if (a.nodeNs !== b.nodeNs) return a.nodeNs < b.nodeNs ? -1 : 1
  if (a.composedNs !== b.composedNs) return a.composedNs < b.composedNs ? -1 : 1
  return a.messageId < b.messageId ? -1 : 1
}

const stateOf = (state: MessageState): Message['state'] =>
  state === MessageState.SENT ? 'sent' : state === MessageState.RECEIVED ? 'received' : 'pending'
