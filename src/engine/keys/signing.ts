/**
 * Asks the wallet to sign a grant or a revocation, for a plain account or for a contract account,
 * whose text ends with its chain (docs/protocol.md section 3).
 */

import { raceAbort } from '../../async.ts'
import type { Chains } from '../../chains/chains.ts'
import { PadlockError } from '../../errors.ts'
import { type Address, formatAddress } from '../../protocol/ids.ts'
import { contractSignatureLimitBytes, walletSignatureBytes } from '../../protocol/limits.ts'
import type { WalletSignature } from '../../protocol/wallet-association.ts'
import {
  hashPersonalMessage,
  normaliseSignature,
  recoverAddress,
} from '../../protocol/wallet-signature.ts'
import type { WalletChain } from '../../wallet/wallet.ts'

/** Gets the wallet's EIP-191 signature over a text. */
export type SignText = (text: string, address: Address, signal: AbortSignal) => Promise<Uint8Array>

/** The wallet as the engine uses it, and what is known of its account. */
export interface Signer {
  readonly signText: SignText
  /** The contract account's chain, as given by the application. */
  readonly contractChainId?: bigint | undefined
  /**
   * The wallet's own chain, and the code of the address there; absent if it names none.
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
  if (found?.code === 'contract') return signAsContract(signer, signing, found.chainId, signal)
  const { answer, signature } = await askPlain(signer, signing, signal)
  const recovered = recover(signature, signing)
  if (recovered === signing.address) return signature
  const isKeys = isOfKey(answer)
  // No contract signs for an address without code, unless its answer deploys one (ERC-6492).
  if (isKeys && found?.code === 'none') throw notSigned(answer, recovered)
  if (answer.length === 0) throw new PadlockError('wallet_incomplete')
  // The address of a contract account that is not deployed yet has no code either: sign with its
  // chain.
  if (found) return signAsContract(signer, signing, found.chainId, signal)
  if (isKeys) throw notSigned(answer, recovered)
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
  const { answer, signature } = await askPlain(signer, signing, signal)
  const recovered = recover(signature, signing)
  // Nobody would accept a signature by another key.
  if (recovered !== signing.address) throw notSigned(answer, recovered)
  return signature
}

const askPlain = async ({ signText }: Signer, signing: Signing, signal: AbortSignal) => {
  const text = signing.buildText(undefined)
  const answer = await ask(signText, text, signing.address, signal)
  const signature = normaliseSignature(answer)
  return { answer, signature: { kind: 'eip191', signature } } as const
}

/** Whether it has the length of a key's signature, in some form, or none: no contract's. */
const isOfKey = (signature: Uint8Array): boolean =>
  signature.length === 0 || signature.length === 64 || signature.length === walletSignatureBytes

/** The address whose key signed; undefined if it is no signature of a key. */
const recover = ({ signature }: WalletSignature, { buildText }: Signing): Address | undefined => {
  const recovered = recoverAddress(hashPersonalMessage(buildText(undefined)), signature)
  return recovered.ok ? recovered.value : undefined
}

/** Why an answer is no signature of this account's key. */
const notSigned = ({ length }: Uint8Array, by: Address | undefined): PadlockError => {
  if (by !== undefined) {
    return new PadlockError('wallet_wrong_account', { details: { signedBy: formatAddress(by) } })
  }
  return new PadlockError('wallet_failed', {
    message: 'The wallet answered with something that is no signature of a key.',
    details: { walletAnswer: length === 0 ? 'an empty signature' : `${length} bytes` },
  })
}

const signAsContract = async (
  { signText, chains }: Signer,
  { address, buildText }: Signing,
  chainId: bigint,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  const text = buildText(chainId)
  const signature = await ask(signText, text, address, signal)
  if (signature.length === 0) throw new PadlockError('wallet_incomplete')
  if (signature.length > contractSignatureLimitBytes) {
    throw new PadlockError('wallet_failed', {
      message: 'The wallet answered with a signature over 8 KiB.',
      details: { walletAnswer: `${signature.length} bytes` },
    })
  }
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
