/**
 * Vouches for installations that a contract granted, for an account that also has a key: they count
 * at once then (docs/protocol.md section 3). The wallet is not asked.
 */

import { PadlockError } from '../../errors.ts'
import { parseInstallationId } from '../../protocol/ids.ts'
import { vouchSigningBytes } from '../../protocol/signing-bytes.ts'
import { contactTopic } from '../../protocol/topics.ts'
import { buildVouch } from '../../protocol/vouch.ts'
import type { Directory } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'

/**
 * Returns when the node has the vouches. Installations that are not pending are skipped.
 *
 * @throws PadlockError invalid_argument for an id that the account does not have, unverified if this
 * installation does not count itself, network_unavailable and the node's refusals
 */
export const vouchFor = async (
  { account, crypto, network, closing }: Context,
  directory: Directory,
  ids: readonly string[],
): Promise<void> => {
  const { address, installationId: voucherId, identity } = account
  await directory.reread(address)
  const known = await directory.account(address)
  const chosen = ids.map((text) => {
    const id = parseInstallationId(text)
    const installation = id.ok ? known.get(id.value) : undefined
    if (installation) return installation
    throw new PadlockError('invalid_argument', {
      message: 'This account has no such installation. Pass ids that `installations()` lists.',
    })
  })
  const pending = chosen.filter(({ state, revokedNs }) => state === 'pending' && revokedNs === 0n)
  if (pending.length === 0) return
  if (known.get(voucherId)?.state !== 'valid') {
    throw new PadlockError('unverified', {
      message: 'This device is not confirmed itself: another one has to vouch for it first.',
    })
  }
  for (const { id: installationId } of pending) {
    const [signature] = crypto.sign(identity, [
      vouchSigningBytes({ address, voucherId, installationId }),
    ])
    if (!signature) throw new PadlockError('internal')
    const message = buildVouch({ installationId, voucherId, signature })
    try {
      await network.publish([{ topic: contactTopic(address), message }], closing)
    } catch (error) {
      // Another installation was faster.
      if (!(error instanceof PadlockError) || error.code !== 'already_vouched') throw error
    }
  }
  await directory.reread(address)
}
