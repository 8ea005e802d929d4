/** The page: its header, its two modes, and the settings that both share. */

import { makeAnnouncer } from './announcer.ts'
import { openSettings } from './dialogs.ts'
import { button, element } from './element.ts'
import { icon, mark } from './icons.ts'
import type { Mode } from './mode.ts'
import { nodeAddress, setNodeAddress } from './node-address.ts'
import { openPeopleMode } from './people-mode.ts'
import { openWalletMode } from './wallet-mode.ts'

const modes = [
  { hash: '#people', label: 'Side by side', open: openPeopleMode },
  { hash: '#wallet', label: 'Your wallet', open: openWalletMode },
] as const

const announcer = makeAnnouncer()
const main = element('main', { id: 'main', tabindex: '-1' })
const links = modes.map(({ hash, label }) => element('a', { href: hash }, label))

const chosenMode = () => modes.find(({ hash }) => hash === location.hash) ?? modes[0]

/** Modes change one after another: the old one must release its databases for the new one. */
let changing: Promise<void> = Promise.resolve()
let current: Mode | undefined

const openMode = (): void => {
  // At once: text written into a closing view would go out through the old node, or be lost.
  main.replaceChildren(element('p', { class: 'placeholder' }, 'One moment…'))
  changing = changing.then(async () => {
    const closing = current
    current = undefined
    await closing?.close()
    const mode = chosenMode()
    for (const link of links) {
      if (link.getAttribute('href') === mode.hash) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    }
    current = mode.open({ node: nodeAddress(), announce: announcer.say, restart: openMode })
    main.replaceChildren(current.root)
  })
}

const changeSettings = (): void =>
  openSettings(nodeAddress(), (address) => {
    if (address === nodeAddress()) return
    setNodeAddress(address)
    openMode()
  })

document
  .querySelector('#app')
  ?.append(
    element(
      'header',
      { class: 'top' },
      element('h1', {}, mark(), 'Padlock', element('span', { class: 'tag' }, 'demo')),
      element('nav', { 'aria-label': 'Mode' }, ...links),
      button(
        { class: 'icon-button', 'aria-label': 'Settings', title: 'Settings' },
        changeSettings,
        icon('settings'),
      ),
    ),
    main,
    announcer.root,
  )

window.addEventListener('hashchange', openMode)
openMode()
