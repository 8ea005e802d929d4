/**
 * Asks the wallet to sign a grant or a revocation. Where a contract may answer for the address, the
 * text ends with its chain (docs/protocol.md section 3).
 */

import { raceAbort } from '../../async.ts'
import type { Chains, SignatureStatus } from '../../chains/chains.ts'
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
  /** Whether the wallet was asked for this text before: a contract may have signed it since. */
  readonly wasAsked?: boolean
  buildText(chainId: bigint | undefined): string
}

/**
 * Asks the wallet once, for a text with a chain if a contract may answer for the address, else for
 * one without. Whose signature it is, the answer shows (section 3).
 *
 * @throws PadlockError wallet_*, invalid_argument if a contract account signed on an unknown chain
 */
export const signAsWallet = async (
  signer: Signer,
  signing: Signing,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  if (signer.contractChainId !== undefined) {
    return signWithChain(signer, signing, signer.contractChainId, signal)
  }
  const found = await signer.findChain?.(signing.address, signal)
  if (found?.code === 'contract' || found?.code === 'delegated') {
    return signWithChain(signer, signing, found.chainId, signal)
  }
  const text = signing.buildText(undefined)
  const answer = await ask(signer.signText, text, signing.address, signal)
  const { signature, by } = readKeySignature(answer, text)
  if (by === signing.address) return { kind: 'eip191', signature }
  const isKeys = isOfKey(answer)
  // No contract signs for an address without code, unless its answer deploys one (ERC-6492).
  if (isKeys && found?.code === 'none') throw notSigned(answer, by)
  if (answer.length === 0) throw new PadlockError('wallet_incomplete')
  // The address of a contract account that is not deployed yet has no code either, and its wallet
  // need not say so: sign with its chain.
  if (found) return signWithChain(signer, signing, found.chainId, signal)
  if (isKeys) throw notSigned(answer, by)
  throw new PadlockError('invalid_argument', {
    message:
      'A contract account signed, on a chain that its wallet does not name: pass `contract`.',
  })
}

const signWithChain = async (
  { signText, chains }: Signer,
  { address, buildText, wasAsked }: Signing,
  chainId: bigint,
  signal: AbortSignal,
): Promise<WalletSignature> => {
  const text = buildText(chainId)
  const hash = hashPersonalMessage(text)
  const accepts = (signature: Uint8Array) =>
    chains?.verify({ chainId, address, hash, signature }, signal)
  // A contract that signs on chain takes an empty signature once its owners have signed.
  const isSignedOnChain = async () => isYes(await accepts(noSignature))
  if (wasAsked && (await isSignedOnChain())) {
    return { kind: 'erc1271', chainId, signature: noSignature }
  }
  const answer = await ask(signText, text, address, signal)
  const { signature, by } = readKeySignature(answer, text)
  if (by === address) return { kind: 'eip191', chainId, signature }
  if (answer.length === 0) {
    if (!(await isSignedOnChain())) throw new PadlockError('wallet_incomplete')
    return { kind: 'erc1271', chainId, signature: noSignature }
  }
  if (answer.length > contractSignatureLimitBytes) {
    throw new PadlockError('wallet_failed', {
      message: 'The wallet answered with a signature over 8 KiB.',
      details: { walletAnswer: `${answer.length} bytes` },
    })
  }
  // Where we can reach the chain, a signature that nobody accepts is not published; else the node
  // asks.
  const status = await accepts(answer)
  if (signal.aborted) throw new PadlockError('aborted')
  if (status === 'invalid') throw new PadlockError('wallet_wrong_account')
  return { kind: 'erc1271', chainId, signature: answer }
}

const noSignature = new Uint8Array()

const isYes = (status: SignatureStatus | undefined): boolean =>
  status === 'valid' || status === 'delegated'

/** The answer in the one form of the wire, and whose key signed; undefined if none did. */
const readKeySignature = (
  answer: Uint8Array,
  text: string,
): { readonly signature: Uint8Array; readonly by: Address | undefined } => {
  const signature = normaliseSignature(answer)
  const recovered = recoverAddress(hashPersonalMessage(text), signature)
  return { signature, by: recovered.ok ? recovered.value : undefined }
}

/** Whether it has the length of a key's signature, in some form, or none: no contract's. */
const isOfKey = (signature: Uint8Array): boolean =>
  signature.length === 0 || signature.length === 64 || signature.length === walletSignatureBytes

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

/** A wallet may never answer, and need not support signals. */
const ask = (signText: SignText, text: string, address: Address, signal: AbortSignal) =>
  raceAbort(signText(text, address, signal), signal, () => new PadlockError('aborted'))
