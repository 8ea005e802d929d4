/**
 * Lists and revokes an account's installations for somebody who has a wallet and nothing else: no
 * database, no keys, no installation.
 */

import { checkAddress } from './arguments.ts'
import { revokeInstallations } from './keys/revoking.ts'
import type { Signer } from './keys/signing.ts'
import { type AccountSources, readAccount } from './membership/account-reader.ts'
import { describeInstallation } from './membership/installation-records.ts'
import type { Installation } from './model.ts'

/** @throws PadlockError invalid_address, network_unavailable and the node's refusals */
export const listInstallations = async (
  sources: AccountSources,
  address: string,
  signal: AbortSignal,
): Promise<readonly Installation[]> => {
  const known = await readAccount(sources, checkAddress(address), signal)
  return [...known.values()]
    .filter(({ state }) => state !== 'unknown')
    .map((installation) => describeInstallation(installation, undefined))
}

/** @throws PadlockError as `listInstallations`, invalid_argument, wallet_* */
export const revokeWithoutClient = async (
  sources: AccountSources,
  signer: Signer,
  { address: text, ids }: { readonly address: string; readonly ids: readonly string[] },
  signal: AbortSignal,
): Promise<void> => {
  const address = checkAddress(text)
  const known = await readAccount(sources, address, signal)
  await revokeInstallations(sources, { address, known, signer }, ids, signal, signal)
}
