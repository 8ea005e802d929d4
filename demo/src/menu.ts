/** A button that opens a short menu beside itself, usable with mouse, touch and keyboard. */

import { button, element } from './element.ts'
import { type IconName, icon } from './icons.ts'

export interface MenuItem {
  readonly label: string
  readonly icon: IconName
  /** What it does cannot be taken back. */
  readonly isGrave?: boolean
  readonly choose: () => void
}

/** Between the menu and the edge of the window. */
const marginPx = 8

/** The one that is open; a second one closes it. */
let closeOpen: () => void = () => undefined

/** Below the button if there is room, otherwise above it, and never beyond the window. */
const place = (menu: HTMLElement, opener: HTMLElement): void => {
  const at = opener.getBoundingClientRect()
  const { width, height } = menu.getBoundingClientRect()
  const fitsBelow = at.bottom + height + marginPx < window.innerHeight
  const top = fitsBelow ? at.bottom : at.top - height
  const left = Math.min(at.left, window.innerWidth - width - marginPx)
  menu.style.setProperty('top', `${Math.max(marginPx, top)}px`)
  menu.style.setProperty('left', `${Math.max(marginPx, left)}px`)
}

/** Not scrolled away, whatever clips it. */
const isInView = (opener: HTMLElement): boolean => {
  const { left, top, width, height } = opener.getBoundingClientRect()
  return opener.contains(document.elementFromPoint(left + width / 2, top + height / 2))
}

const open = (opener: HTMLElement, items: readonly MenuItem[]): void => {
  const ending = new AbortController()
  const { signal } = ending
  const close = (): void => {
    ending.abort()
    menu.remove()
    opener.setAttribute('aria-expanded', 'false')
    closeOpen = () => undefined
  }
  const choices = items.map(({ label, icon: name, isGrave, choose }) =>
    button(
      { role: 'menuitem', tabindex: '-1', class: isGrave ? 'grave' : '' },
      () => {
        close()
        // Where a dialog that follows gives the focus back to.
        opener.focus()
        choose()
      },
      icon(name),
      label,
    ),
  )
  const menu = element(
    'div',
    { class: 'menu', role: 'menu', 'aria-label': opener.getAttribute('aria-label') ?? '' },
    ...choices,
  )
  const follow = (): void => {
    if (isInView(opener)) place(menu, opener)
    else close()
  }
  const step = (by: number): void => {
    const { activeElement } = document
    const now = activeElement instanceof HTMLButtonElement ? choices.indexOf(activeElement) : 0
    choices.at((now + by) % choices.length)?.focus()
  }
  const steps: Readonly<Record<string, () => void>> = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => choices[0]?.focus(),
    End: () => choices.at(-1)?.focus(),
    Escape: () => {
      close()
      opener.focus()
    },
  }
  menu.addEventListener('keydown', (event) => {
    if (event.key === 'Tab') return close()
    const act = steps[event.key]
    if (!act) return
    event.preventDefault()
    act()
  })
  const isOutside = ({ target }: Event): boolean =>
    !(target instanceof Node && (menu.contains(target) || opener.contains(target)))
  document.addEventListener('pointerdown', (event) => isOutside(event) && close(), { signal })
  // A message that arrives scrolls what is below.
  document.addEventListener('scroll', follow, { signal, capture: true })
  window.addEventListener('resize', close, { signal })

  closeOpen()
  closeOpen = close
  opener.setAttribute('aria-expanded', 'true')
  // Inside the page's main part, and out of everything that cuts off what is wider than itself.
  const host = opener.closest('main') ?? document.body
  host.append(menu)
  place(menu, opener)
  choices[0]?.focus({ preventScroll: true })
}

/** @param items asked for whenever the menu opens */
export const makeMenuButton = (
  attributes: Readonly<Record<string, string>>,
  items: () => readonly MenuItem[],
): HTMLButtonElement => {
  const made = button(
    { ...attributes, 'aria-haspopup': 'menu', 'aria-expanded': 'false' },
    () => {
      if (made.getAttribute('aria-expanded') === 'true') closeOpen()
      else open(made, items())
    },
    icon('more'),
  )
  return made
}
