/** How a dialog is shown, and the page's two plain ones: a question with yes and no, and the settings. */

import { button, element } from './element.ts'
import { parseNodeAddress, usualNodeAddress } from './node-address.ts'

let opened = 0

/** Shows a modal dialog and removes it when it closes; the browser keeps the focus in it and gives it back. */
export const showDialog = (
  title: string,
  ...content: readonly HTMLElement[]
): HTMLDialogElement => {
  opened += 1
  const titleId = `dialog-${opened}`
  const dialog = element(
    'dialog',
    { 'aria-labelledby': titleId },
    element('h2', { id: titleId }, title),
    ...content,
  )
  document.body.append(dialog)
  dialog.addEventListener('close', () => dialog.remove())
  dialog.showModal()
  return dialog
}

export interface Question {
  readonly title: string
  readonly text: string
  /** What the button that goes ahead says. */
  readonly yes: string
}

/** Whether the person agreed. */
export const ask = ({ title, text, yes }: Question): Promise<boolean> =>
  new Promise((resolve) => {
    const no = button({ class: 'quiet', autofocus: true }, () => dialog.close(), 'Cancel')
    const agree = button({ class: 'primary' }, () => dialog.close('yes'), yes)
    const dialog = showDialog(
      title,
      element('p', {}, text),
      element('div', { class: 'actions' }, no, agree),
    )
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'))
  })

/** Lets the person choose the node; `onSave` gets an address of the right form. */
export const openSettings = (current: string, onSave: (address: string) => void): void => {
  const field = element('input', {
    id: 'node-address',
    type: 'url',
    value: current,
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-describedby': 'node-address-help node-address-error',
  })
  const error = element('p', { id: 'node-address-error', class: 'field-error', role: 'alert' })
  const usual = button(
    { class: 'quiet' },
    () => {
      field.value = usualNodeAddress()
      field.focus()
    },
    'Use the usual one',
  )
  const form = element(
    'form',
    { class: 'settings-form', novalidate: true },
    element('label', { for: 'node-address' }, 'Address of the node'),
    field,
    element(
      'p',
      { id: 'node-address-help', class: 'help' },
      'The node passes sealed messages on and cannot read them. People meet only where they use the same node.',
    ),
    error,
    element(
      'div',
      { class: 'actions' },
      usual,
      button({ class: 'quiet push' }, () => dialog.close(), 'Cancel'),
      element('button', { type: 'submit', class: 'primary' }, 'Save'),
    ),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const address = parseNodeAddress(field.value)
    if (address === undefined) {
      error.textContent =
        'This is not the address of a web server. It begins with http:// or https://, such as http://localhost:8787.'
      field.setAttribute('aria-invalid', 'true')
      field.focus()
      return
    }
    dialog.close()
    onSave(address)
  })
  const dialog = showDialog('Settings', form)
  field.focus()
}
