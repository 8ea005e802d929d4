/**
 * Detects and repairs a rolled-back database, restored from a backup or a cloned profile
 * (docs/protocol.md section 10). Runs at connect, before anything is sent: the old ratchets would
 * encrypt new messages under message keys that were already used.
 */

import { PadlockError } from '../../errors.ts'
import type { Directory } from '../membership/directory.ts'
import { commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { newsChange } from '../runtime/news.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Prekeys } from './prekeys.ts'
import type { SealingKeys } from './sealing-keys.ts'

export interface RollbackParts {
  readonly directory: Directory
  readonly sealingKeys: SealingKeys
  readonly prekeys: Prekeys
  readonly sessions: Sessions
}

/**
 * Call this when our own topics were read to their end.
 *
 * @param newestCreatedNs of the prekey uploads that the node has.
 * @param unopened how many envelopes none of our sealing keys opened.
 */
export const repairIfRolledBack = async (
  context: Context,
  { directory, sealingKeys, prekeys, sessions }: RollbackParts,
  newestCreatedNs: bigint,
  unopened: number,
): Promise<void> => {
  const { account, ratchetLock, status, store, time } = context
  const own = (await directory.account(account.address)).get(account.installationId)
  // A key of ours newer than the node's comes from an earlier repair that it has not received yet.
  const hasNewerKey =
    own !== undefined &&
    own.sealingKey.length > 0 &&
    !sealingKeys.has(own.sealingKey) &&
    own.sealingCreatedNs >= sealingKeys.newestCreatedNs
  const hasNewerUpload = time.mayBeCreated(newestCreatedNs) && prekeys.isBehind(newestCreatedNs)
  if (!hasNewerKey && !hasNewerUpload) return

  const restored = { kind: 'restored', unopened } as const
  await ratchetLock.runExclusive(async () => {
    // A key that no node accepted yet is as good as a new one. Making another would push out the
    // secret of the published key, and with it every envelope sealed to it: a lying node can force
    // a repair at each connect, and accepts four keys a day.
    const isKept = sealingKeys.isPending && !hasNewerKey
    const key = isKept ? undefined : await sealingKeys.make(own?.sealingCreatedNs ?? 0n)
    const stock = prekeys.makeReplacement(hasNewerUpload ? newestCreatedNs : 0n)
    const repair = joinChanges(
      await sessions.closingChange(),
      key && sealingKeys.newKeyChange(key),
      prekeys.uploadChange(stock),
      newsChange(context, [restored]),
    )
    await commit(store, repair, 'strict')
  })
  status.warn('restored')
  context.emit(restored)
  try {
    await sealingKeys.publishPending()
  } catch (error) {
    // Retried while live; until then peers seal to the published key.
    if (!(error instanceof PadlockError) || error.code !== 'sealing_key_too_soon') throw error
    status.warnOf(error)
  }
  await prekeys.refill()
}
