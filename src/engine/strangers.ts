/**
 * Forgets what was looked up of accounts with which the person has nothing (docs/protocol.md section
 * 9): anyone can have any registered account looked up, just by claiming to be it.
 */

import type { Address } from '../protocol/ids.ts'
import { dayMs, strangerMemoryMs } from '../protocol/limits.ts'
import { parseTopic } from '../protocol/topics.ts'
import { tables } from '../store/tables.ts'
import type { Consents } from './consent/consents.ts'
import type { Directory } from './membership/directory.ts'
import { directConversation } from './messages/audience.ts'
import type { Conversations } from './messages/conversations.ts'
import { commit, recordUpdate } from './runtime/change.ts'
import type { Context } from './runtime/context.ts'

export interface StrangersParts {
  readonly consents: Pick<Consents, 'of'>
  readonly conversations: Pick<Conversations, 'load'>
  readonly directory: Pick<Directory, 'forget'>
}

/** Once a day: it reads how far every topic was read. */
export const forgetStrangers = async (
  { store, time, account, closing }: Context,
  { consents, conversations, directory }: StrangersParts,
): Promise<void> => {
  const nowMs = time.stampMs()
  const lastMs = Number((await store.get(tables.times, 'times'))?.value.strangersMs ?? 0n)
  // A clock that was ahead must not put it off for ever.
  if (lastMs > nowMs - dayMs && lastMs <= nowMs) return
  const oldestMs = BigInt(Math.max(0, time.passedMs() - strangerMemoryMs))
  const isKept = async (address: Address): Promise<boolean> => {
    if (address === account.address || (await consents.of(address)) === 'allowed') return true
    return (await conversations.load(directConversation(account.address, address))) !== undefined
  }
  const old = new Set<Address>()
  const fresh = new Set<Address>()
  for await (const page of store.pages(tables.cursors)) {
    for (const { value } of page) {
      const topic = parseTopic(value.topic)
      if (value.readMs === 0n || !topic.ok || !('address' in topic.value)) continue
      // One of its two topics may have had something new.
      if (value.readMs < oldestMs) old.add(topic.value.address)
      else fresh.add(topic.value.address)
    }
  }
  const forgotten = new Set<Address>()
  for (const address of old) {
    if (!fresh.has(address) && !(await isKept(address))) forgotten.add(address)
  }
  if (forgotten.size > 0) await directory.forget(forgotten)
  if (closing.aborted) return
  const strangersMs = BigInt(nowMs)
  await commit(
    store,
    recordUpdate(tables.times, 'times', (times) => ({ ...times, strangersMs })),
  )
}
