/**
 * Wallets for trying things out: a private key in local storage, readable by every script of this
 * origin. For this demo only; nothing of value may ever be sent to them.
 */

import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { recall, remember } from './browser-memory.ts'

const isPrivateKey = (text: string | undefined): text is `0x${string}` =>
  text !== undefined && /^0x[0-9a-f]{64}$/.test(text)

const noteOf = (name: string): string => `throwaway-key-${name}`

/** The wallet of that name, created on the first call. */
export const throwawayWallet = (name: string): PrivateKeyAccount => {
  const kept = recall(noteOf(name))
  const key = isPrivateKey(kept) ? kept : generatePrivateKey()
  if (key !== kept) remember(noteOf(name), key)
  return privateKeyToAccount(key)
}

/** The next call of `throwawayWallet` makes a new one. */
export const forgetThrowawayWallet = (name: string): void => remember(noteOf(name), undefined)
