/** Which of our messages an account's installations may have missed: those published since a time. */

import type { Address, ConversationId } from '../../protocol/ids.ts'
import { dayMs, redeliveryMs } from '../../protocol/limits.ts'
import type { ListOptions } from '../../store/store.ts'
import { type MessageRecord, messageOrder, tables } from '../../store/tables.ts'
import { directConversation } from '../messages/audience.ts'
import type { ConversationList } from '../messages/conversation-list.ts'
import type { Context } from '../runtime/context.ts'
import { nsToMs } from '../runtime/node-time.ts'

/** Conversations that are searched for an installation of ours that became known late. */
const maxConversations = 1_000
/** When a conversation was last active is this device's time, and when an installation came the node's. */
const clocksApartMs = dayMs
/** Messages read at a time, and at first: mostly the newest one is old enough. */
const pageSize = 100
const firstPageSize = 5
/** Deferrals of all installations: beyond this the oldest are dropped, as after two weeks. */
export const maxDeferrals = 10_000

export type LateMessage = Pick<MessageRecord, 'messageId' | 'nodeNs'>
type Parts = Pick<Context, 'account' | 'store' | 'time'>
type Conversations = Pick<ConversationList, 'ids'>

/** Those published after this time and not too old to send, in all conversations with an account. */
export const publishedSince = async (
  context: Parts,
  list: Conversations,
  address: Address,
  sinceNs: bigint,
): Promise<readonly LateMessage[]> => {
  const late: LateMessage[] = []
  for (const group of await conversationsWith(context, list, address, sinceNs)) {
    late.push(...(await publishedIn(context, group, sinceNs)))
  }
  return late
}

/** Conversations whose messages an account's installations get; for our own account, all since then. */
const conversationsWith = async (
  { account }: Parts,
  list: Conversations,
  address: Address,
  sinceNs: bigint,
): Promise<readonly ConversationId[]> => {
  const own = account.address
  if (address !== own) return [directConversation(own, address)]
  return list.ids(maxConversations, ['allowed'], nsToMs(sinceNs) - clocksApartMs)
}

const publishedIn = async (
  { account, store, time }: Parts,
  group: ConversationId,
  sinceNs: bigint,
): Promise<readonly LateMessage[]> => {
  const oldestNs = time.passedNs() - BigInt(redeliveryMs) * 1_000_000n
  const late: LateMessage[] = []
  for (let past: ListOptions['past']; late.length < maxDeferrals; ) {
    const rows = await store.list(tables.messages, {
      group,
      ...(past ? { past } : {}),
      limit: past ? pageSize : firstPageSize,
      newestFirst: true,
    })
    for (const { value } of rows) {
      // Pending: publishing it will include the installation.
      if (value.nodeNs === 0n) continue
      if (value.nodeNs <= sinceNs || value.nodeNs < oldestNs) return late
      const { messageId, nodeNs, senderInstallation } = value
      // Without its text: there may be thousands.
      if (senderInstallation === account.installationId) late.push({ messageId, nodeNs })
    }
    const last = rows.at(-1)
    if (!last) return late
    const { messageId, nodeNs, composedNs } = last.value
    past = { place: messageOrder(nodeNs, composedNs), key: messageId }
  }
  return late
}
