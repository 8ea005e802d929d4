/**
 * Asks the wallet to sign a grant or a revocation, for a plain account or for a contract account,
 * whose text ends with its chain (docs/protocol.md section 3).
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

/** The wallet as the engine uses it, and what is known of its account. */
export interface Signer {
  readonly signText: SignText
  /** The contract account's chain, as given by the application. */
  readonly contractChainId?: bigint | undefined
  /**
   * The wallet's own chain, and whether the address is a contract there; absent if it names none.
   */
  readonly findChain?: (address: Address, signal: AbortSignal) => Promise<WalletChain | undefined>
  readonly chains?: Chains | undefined
}

/** The statement to sign: its text depends on the chain. */
export interface Signing {
  readonly address: Address
  readonly currentTime: string
  buildText(chainId: bigint | undefined): string
}

/**
 * Signs in the kind that fits the wallet, as for the first grant.
 *
 * @throws PadlockError wallet_*, invalid_argument if a contract account signed on an unknown chain
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
  // The address of a contract account that is not deployed yet has no code either: sign with its
  // chain.
  if (found) return signAsContract(signer, signing, found.chainId, signal)
  if (plain.signature.length === walletSignatureBytes)
    throw new PadlockError('wallet_wrong_account')
  throw new PadlockError('invalid_argument', {
    message:
      'A contract account signed, on a chain that its wallet does not name: pass `contract`.',
  })
}

/**
 * Signs in the kind that the account already uses: all signatures of an account are of one kind.
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
  // Nobody would accept a signature by another key.
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
  // Where we can reach the chain, a signature that nobody accepts is not published; else the node
  // asks.
  const status = await chains?.verify({ chainId, address, hash, signature }, signal)
  if (signal.aborted) throw new PadlockError('aborted')
  if (status === 'invalid') throw new PadlockError('wallet_wrong_account')
  return { kind: 'erc1271', chainId, signature }
}

/** A wallet may never answer, and need not support signals. */
const ask = (signText: SignText, text: string, address: Address, signal: AbortSignal) =>
  raceAbort(signText(text, address, signal), signal, () => new PadlockError('aborted'))
