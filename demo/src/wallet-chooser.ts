/** The first screen with the person's own wallet: which one, and what happens next. */

import { button, element } from './element.ts'
import { icon } from './icons.ts'
import type { FoundWallet } from './wallet-discovery.ts'

/** A centred card with a title; further messages go below. */
export const makeCard = (title: string, ...content: readonly HTMLElement[]): HTMLElement =>
  element(
    'div',
    { class: 'card-frame' },
    element('section', { class: 'card' }, element('h2', {}, title), ...content),
  )

const makeChoice = (wallet: FoundWallet, onChoose: (wallet: FoundWallet) => void): HTMLElement => {
  const picture =
    wallet.icon === undefined ? icon('wallet') : element('img', { src: wallet.icon, alt: '' })
  return element(
    'li',
    {},
    button({ class: 'wallet' }, () => onChoose(wallet), picture, element('span', {}, wallet.name)),
  )
}

export const makeWalletChooser = (
  wallets: readonly FoundWallet[],
  onChoose: (wallet: FoundWallet) => void,
): HTMLElement => {
  if (wallets.length === 0) {
    return makeCard(
      'No wallet found',
      element(
        'p',
        {},
        'This browser has no Ethereum wallet. Install one as a browser extension, unlock it and reload this page.',
      ),
      element(
        'p',
        {},
        'Or ',
        element('a', { href: '#people' }, 'look at two people side by side'),
        ', which needs no wallet.',
      ),
    )
  }
  return makeCard(
    'Choose your wallet',
    element(
      'p',
      {},
      'It tells this page your address and, the first time, signs one text that adds this browser to your account. That costs nothing and moves nothing.',
    ),
    element('ul', { class: 'wallets' }, ...wallets.map((wallet) => makeChoice(wallet, onChoose))),
  )
}
