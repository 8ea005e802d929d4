/** A wallet as an extension gives it to pages: EIP-1193 by EIP-6963, with a key that stays out here. */
import { anAccount } from './accounts.ts'

export interface TestWallet {
  readonly address: string
  /** Texts that it was asked to sign. */
  readonly asked: string[]
  /** Of each, whether the page could have opened a window, as some wallets do. */
  readonly couldOpen: boolean[]
  /** What it does from now on when it is asked. */
  mood: 'signs' | 'declines' | 'never answers'
}

/** What pages call `askTestWallet` gets `sign`; two browsers with one account belong to one person. */
export const makeTestWallet = (
  account = anAccount(),
): { wallet: TestWallet; sign: (data: string, couldOpen?: boolean) => Promise<string> } => {
  const wallet: TestWallet = { address: account.address, asked: [], couldOpen: [], mood: 'signs' }
  const sign = async (data: string, couldOpen = false): Promise<string> => {
    wallet.couldOpen.push(couldOpen)
    wallet.asked.push(Buffer.from(data.slice(2), 'hex').toString())
    if (wallet.mood === 'declines') return ''
    if (wallet.mood === 'never answers') return new Promise<string>(() => undefined)
    return account.signMessage({ message: { raw: Buffer.from(data.slice(2), 'hex') } })
  }
  return { wallet, sign }
}

/** In the page: announces the wallet, now and whenever it is asked who is there. */
export const announceTestWallet = (address: string): void => {
  // As extensions do: an account is told to a site once the person allowed it.
  const allowed = 'test-wallet-allowed'
  const request = async ({ method, params }: { method: string; params?: unknown }) => {
    if (method === 'eth_requestAccounts') localStorage.setItem(allowed, 'yes')
    if (method === 'eth_requestAccounts' || method === 'eth_accounts') {
      return localStorage.getItem(allowed) === null ? [] : [address]
    }
    const ask: unknown = Reflect.get(window, 'askTestWallet')
    if (method !== 'personal_sign' || !Array.isArray(params) || typeof ask !== 'function') {
      throw Object.assign(new Error('unsupported'), { code: 4200 })
    }
    const signature: unknown = await ask(params[0], navigator.userActivation?.isActive)
    if (signature === '') throw Object.assign(new Error('declined'), { code: 4001 })
    return signature
  }
  const info = {
    uuid: '350670db-19fa-4704-a166-e52e178b59d2',
    name: 'Harbour Wallet',
    rdns: 'org.example.harbour',
    icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><rect width='8' height='8' rx='2' fill='%23d9713c'/></svg>",
  }
  const announce = () => {
    const detail = Object.freeze({ info, provider: { request } })
    window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
  }
  window.addEventListener('eip6963:requestProvider', announce)
  announce()
}
