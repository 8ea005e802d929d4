/**
 * An older copy of its own database, put back by a backup or a cloned profile (docs/protocol.md
 * section 10): noticed at connect, before anything is sent, and repaired. What it had sent since, it
 * would otherwise encrypt again under the same message keys.
 */

import { PadlockError } from '../../errors.ts'
import type { Directory } from '../membership/directory.ts'
import { commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
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
 * To be called when the own topics were read to their end.
 *
 * @param newestCreatedNs of the prekey uploads that the node has.
 * @param unopened how many envelopes no sealing key here opened.
 */
export const repairIfRolledBack = async (
  context: Context,
  { directory, sealingKeys, prekeys, sessions }: RollbackParts,
  newestCreatedNs: bigint,
  unopened: number,
): Promise<void> => {
  const { account, ratchetLock, status, store, time } = context
  const own = (await directory.account(account.address)).get(account.installationId)
  // One newer than the node's was made by an earlier repair that it has not heard of yet.
  const hasNewerKey =
    own !== undefined &&
    own.sealingKey.length > 0 &&
    !sealingKeys.has(own.sealingKey) &&
    own.sealingCreatedNs >= sealingKeys.newestCreatedNs
  const hasNewerUpload = time.mayBeCreated(newestCreatedNs) && prekeys.isBehind(newestCreatedNs)
  if (!hasNewerKey && !hasNewerUpload) return

  await ratchetLock.runExclusive(async () => {
    // One that no node took yet is as good as a new one. Making another would push out the secret of
    // the one that is published, and with it all mail: a node that lies may ask for a repair at each
    // connect, and takes four keys a day.
    const isKept = sealingKeys.isPending && !hasNewerKey
    const key = isKept ? undefined : await sealingKeys.make(own?.sealingCreatedNs ?? 0n)
    const stock = prekeys.makeReplacement(hasNewerUpload ? newestCreatedNs : 0n)
    const repair = joinChanges(
      await sessions.closingChange(),
      key && sealingKeys.newKeyChange(key),
      prekeys.uploadChange(stock),
    )
    await commit(store, repair, 'strict')
  })
  status.warn('restored')
  context.emit({ kind: 'restored', unopened })
  try {
    await sealingKeys.publishPending()
  } catch (error) {
    // Tried again while live; until then mail comes to the one that is published.
    if (!(error instanceof PadlockError) || error.code !== 'sealing_key_too_soon') throw error
    status.warnOf(error)
  }
  await prekeys.refill()
}
