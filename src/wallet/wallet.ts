/**
 * What Padlock needs from a wallet: its account, and one signature over a text. The wallet stays on
 * the page's main thread; the adapter for viem and EIP-1193 is `viem.ts`.
 */

/** The chain that a wallet is on. */
export interface WalletChain {
  readonly chainId: bigint
  /** Whether the address has code on that chain, other than an EIP-7702 designator. */
  readonly isContract: boolean
}

export interface Wallet {
  /**
   * The account that signs, as the wallet writes it.
   *
   * @throws PadlockError wallet_rejected, wallet_failed
   */
  getAddress(): Promise<string>
  /**
   * EIP-191 `personal_sign`: 65 bytes r, s, v; or whatever a contract account returns.
   *
   * @throws PadlockError wallet_rejected, wallet_failed, wallet_wrong_account
   */
  signText(text: string, address: string): Promise<Uint8Array>
  /** The chain that the wallet is on now; undefined if it names none. Never rejects. */
  findChain(address: string): Promise<WalletChain | undefined>
}
