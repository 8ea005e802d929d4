/** The field for writing a message: Enter sends, Shift+Enter starts a new line. */

import { element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'

export interface Composer {
  readonly root: HTMLElement
  focus(): void
}

export interface ComposerOptions {
  readonly id: string
  /** Names the field, such as `Message to Bob`. */
  readonly label: string
  /** Resolves once the message is stored here. */
  readonly send: (text: string) => Promise<void>
}

const maxHeightPx = 160

export const makeComposer = ({ id, label, send }: ComposerOptions): Composer => {
  const field = element('textarea', {
    id,
    rows: '1',
    placeholder: label,
    enterkeyhint: 'send',
    autocomplete: 'off',
    'aria-describedby': `${id}-hint ${id}-error`,
  })
  const submit = element('button', { type: 'submit', disabled: true, 'aria-label': 'Send' })
  submit.append(icon('send'))
  const error = element('p', { id: `${id}-error`, class: 'field-error', role: 'alert' })
  const root = element(
    'form',
    { class: 'composer' },
    element('label', { for: id, class: 'unseen' }, label),
    element('div', { class: 'field' }, field, submit),
    element(
      'p',
      { id: `${id}-hint`, class: 'hint' },
      'Enter sends, Shift + Enter starts a new line.',
    ),
    error,
  )

  const adapt = (): void => {
    submit.disabled = field.value.trim() === ''
    field.style.height = 'auto'
    field.style.height = `${Math.min(field.scrollHeight, maxHeightPx)}px`
  }

  const submitText = async (): Promise<void> => {
    const text = field.value.trim()
    if (text === '') return
    field.value = ''
    error.textContent = ''
    adapt()
    // The button is disabled now; the next message is still written here.
    field.focus()
    try {
      await send(text)
    } catch (cause) {
      error.textContent = sayError(cause)
      // Puts the unsent text back, before whatever was typed since.
      field.value = field.value === '' ? text : `${text}\n${field.value}`
      adapt()
    }
  }

  field.addEventListener('input', adapt)
  field.addEventListener('keydown', (event) => {
    // Enter that picks an input method's suggestion is not meant for the form.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    void submitText()
  })
  root.addEventListener('submit', (event) => {
    event.preventDefault()
    void submitText()
  })
  return { root, focus: () => field.focus() }
}
