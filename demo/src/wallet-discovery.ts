/**
 * Finds the wallets that this browser offers, by EIP-6963; a wallet that only knows the older
 * `window.ethereum` is offered too, when it is the only one.
 */

import type { ProviderLike } from 'padlock-sdk'

export interface FoundWallet {
  /** Stays the same over visits: the wallet's reverse domain name. */
  readonly id: string
  readonly name: string
  /** A data URI, to be shown in an `img` only: an image there runs no script (EIP-6963, Images). */
  readonly icon?: string
  readonly provider: ProviderLike
}

/** More announcements than that are no longer a choice. */
const maxWallets = 20
const maxNameLength = 60

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const isProvider = (value: unknown): value is ProviderLike =>
  isRecord(value) && typeof value.request === 'function'

/** What a page script announced, if it has the form that EIP-6963 asks for. */
const readAnnouncement = (detail: unknown): FoundWallet | undefined => {
  if (!isRecord(detail) || !isRecord(detail.info) || !isProvider(detail.provider)) return undefined
  const { rdns, name, icon } = detail.info
  if (typeof rdns !== 'string' || rdns === '' || typeof name !== 'string' || name === '') {
    return undefined
  }
  return {
    id: rdns,
    name: name.slice(0, maxNameLength),
    ...(typeof icon === 'string' && icon.startsWith('data:image/') ? { icon } : {}),
    provider: detail.provider,
  }
}

const injectedWallet = (): FoundWallet | undefined => {
  const provider: unknown = Reflect.get(window, 'ethereum')
  return isProvider(provider) ? { id: 'injected', name: 'Browser wallet', provider } : undefined
}

/** Calls back now and whenever another wallet announces itself, until what it returns is called. */
export const findWallets = (onFound: (wallets: readonly FoundWallet[]) => void): (() => void) => {
  const announced = new Map<string, FoundWallet>()
  const report = (): void => {
    const injected = injectedWallet()
    const all = [...announced.values()]
    onFound(all.length > 0 ? all : injected ? [injected] : [])
  }
  const onAnnounce = (event: Event): void => {
    const wallet = readAnnouncement(event instanceof CustomEvent ? event.detail : undefined)
    // The first of a name stays: a later one could only be an imitation.
    if (!wallet || announced.has(wallet.id) || announced.size >= maxWallets) return
    announced.set(wallet.id, wallet)
    report()
  }
  window.addEventListener('eip6963:announceProvider', onAnnounce)
  window.dispatchEvent(new Event('eip6963:requestProvider'))
  report()
  return () => window.removeEventListener('eip6963:announceProvider', onAnnounce)
}

/** Calls back with the first account whenever the person switches accounts in the wallet (EIP-1193). */
export const watchAccount = (
  provider: ProviderLike,
  onAccount: (address: string) => void,
): (() => void) => {
  if (!isRecord(provider) || typeof provider.on !== 'function') return () => undefined
  const onAccounts = (accounts: unknown): void => {
    const first: unknown = Array.isArray(accounts) ? accounts[0] : undefined
    if (typeof first === 'string') onAccount(first)
  }
  provider.on('accountsChanged', onAccounts)
  return () => {
    if (typeof provider.removeListener === 'function') {
      provider.removeListener('accountsChanged', onAccounts)
    }
  }
}
