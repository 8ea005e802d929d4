/**
 * Asks the wallet for its signature over a grant or a revocation: of a plain account, or of a contract
 * account, whose text ends with its chain (docs/protocol.md section 3).
 */

import { raceAbort } from '../../async.ts'
import type { Chains } from '../../chains/chains.ts'
import { PadlockError } from '../../errors.ts'
import type { Address } from '../../protocol/ids.ts'
import { contractSignatureLimitBytes, walletSignatureBytes } from '../../protocol/limits.ts'
import { verifyAssociation, type WalletSignature } from '../../protocol/wallet-association.ts'
import { hashPersonalMessage, normaliseV } from '../../protocol/wallet-signature.ts'
import type { WalletChain } from '../../wallet/wallet.ts'

/** Gets the wallet's EIP-191 signature over a text. */
export type SignText = (text: string, address: Address, signal: AbortSignal) => Promise<Uint8Array>

/** The wallet as the engine asks it, and what is known of its account. */
export interface Signer {
  readonly signText: SignText
  /** The chain that the application says its contract account is on. */
  readonly contractChainId?: bigint | undefined
  /** The wallet's own chain, and whether the address is a contract there; absent if it names none. */
  readonly findChain?: (address: Address, signal: AbortSignal) => Promise<WalletChain | undefined>
  readonly chains?: Chains | undefined
}

/** What is signed: the text depends on the chain. */
export interface Signing {
  readonly address: Address
  readonly currentTime: string
  buildText(chainId: bigint | undefined): string
}

/**
 * A signature whose kind the wallet decides, as for the first grant.
 *
 * @throws PadlockError wallet_*, invalid_argument when a contract account signed that names no chain
 */
export const signAsWallet = async (
  signer: Signer,
  signing: Signing,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  if (signer.contractChainId !== undefined) {
    return signAsContract(signer, signing, signer.contractChainId, signal)
  }
  const found = await signer.findChain?.(signing.address, signal)
  if (found?.isContract) return signAsContract(signer, signing, found.chainId, signal)
  const plain = await askPlain(signer, signing, signal)
  if (recovers(plain, signing)) return plain
  // A contract account that is not deployed yet has no code either, and asks for the chain so.
  if (found) return signAsContract(signer, signing, found.chainId, signal)
  if (plain.signature.length === walletSignatureBytes)
    throw new PadlockError('wallet_wrong_account')
  throw new PadlockError('invalid_argument', {
    message:
      'A contract account signed, on a chain that its wallet does not name: pass `contract`.',
  })
}

/**
 * A signature of the kind that the account has already: all of an account are of one.
 *
 * @throws PadlockError wallet_*
 */
export const signAs = async (
  signer: Signer,
  signing: Signing,
  chainId: bigint | undefined,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  if (chainId !== undefined) return signAsContract(signer, signing, chainId, signal)
  const plain = await askPlain(signer, signing, signal)
  // A wallet that signed with another key would leave something that nobody accepts.
  if (!recovers(plain, signing)) throw new PadlockError('wallet_wrong_account')
  return plain
}

const askPlain = async ({ signText }: Signer, signing: Signing, signal: AbortSignal) => {
  const text = signing.buildText(undefined)
  const signature = normaliseV(await ask(signText, text, signing.address, signal))
  return { kind: 'eip191', signature } as const
}

const recovers = (signature: WalletSignature, { address, currentTime, buildText }: Signing) =>
  verifyAssociation({ address, currentTime, signature }, buildText(undefined)).ok

const signAsContract = async (
  { signText, chains }: Signer,
  { address, buildText }: Signing,
  chainId: bigint,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  const text = buildText(chainId)
  const signature = await ask(signText, text, address, signal)
  if (signature.length > contractSignatureLimitBytes) throw new PadlockError('wallet_failed')
  const hash = hashPersonalMessage(text)
  // Where the chain can be asked, nobody publishes what nobody accepts; else the node asks it.
  const status = await chains?.verify({ chainId, address, hash, signature }, signal)
  if (signal.aborted) throw new PadlockError('aborted')
  if (status === 'invalid') throw new PadlockError('wallet_wrong_account')
  return { kind: 'erc1271', chainId, signature }
}

/** A wallet may never answer, and need not know of signals. */
const ask = (signText: SignText, text: string, address: Address, signal: AbortSignal) =>
  raceAbort(signText(text, address, signal), signal, () => new PadlockError('aborted'))
