/**
 * What Padlock needs from a wallet: its account, and one signature over a text. The wallet stays on
 * the page's main thread; `wallet-like.ts` adapts the wallets that applications have.
 */

import type { AccountCode } from '../protocol/account-code.ts'

/** The chain that a wallet is on. */
export interface WalletChain {
  readonly chainId: bigint
  /**
   * The code that the address has on that chain, or will have; undefined if the wallet did not say.
   */
  readonly code: AccountCode | undefined
}

export interface Wallet {
  /**
   * The account that signs, as the wallet writes it.
   *
   * @throws PadlockError wallet_rejected, wallet_pending, wallet_failed
   */
  getAddress(): Promise<string>
  /**
   * EIP-191 `personal_sign`: r, s, v, in one of the forms that wallets use; or whatever a contract
   * account returns; or nothing, while a contract account collects its owners' signatures.
   *
   * @throws PadlockError wallet_rejected, wallet_pending, wallet_failed, wallet_wrong_account
   */
  signText(text: string, address: string): Promise<Uint8Array>
  /** The chain that the wallet is on now; undefined if it names none. Never rejects. */
  findChain(address: string): Promise<WalletChain | undefined>
}
