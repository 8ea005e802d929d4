/** An address as people compare it: its beginning and end, with a button to copy it all. */

import { button, element } from './element.ts'
import { icon } from './icons.ts'

/** How long the button confirms the copy. */
const confirmMs = 2_000

export const shortAddress = (address: string): string =>
  `${address.slice(0, 6)}…${address.slice(-4)}`

/**
 * The short address, or `label`; pressing it copies the full address. `whose` completes
 * `Copy the address of …`.
 */
export const makeCopyAddress = (
  address: string,
  whose: string,
  label = shortAddress(address),
): HTMLElement => {
  const text = element('span', {}, label)
  const copy = (): void => {
    // If the page may not write to the clipboard, it shows the full address to select.
    const written = navigator.clipboard?.writeText(address) ?? Promise.reject(new Error('none'))
    written.then(
      () => {
        text.textContent = 'Copied'
        setTimeout(() => {
          text.textContent = label
        }, confirmMs)
      },
      () => {
        text.textContent = address
      },
    )
  }
  const made = button(
    { class: 'copy', title: address, 'aria-label': `Copy the address of ${whose}` },
    copy,
    text,
    icon('copy'),
  )
  const said = element('span', { class: 'unseen', role: 'status' })
  made.addEventListener('click', () => {
    said.textContent = `Address of ${whose}: ${address}`
  })
  return element('span', { class: 'copy-address' }, made, said)
}

/** A fixed colour for an address; decoration only, the address is always written beside it. */
export const makeAvatar = (address: string, letter?: string): HTMLElement => {
  const made = element('span', { class: 'avatar', 'aria-hidden': 'true' }, letter ?? '')
  if (letter === undefined) {
    const hue = Number.parseInt(address.slice(2, 8), 16) % 360
    made.style.setProperty('--hue', String(hue))
    made.classList.add('of-address')
  }
  return made
}
