/** The field for the address of someone new. */

import type { Client, Conversation } from 'padlock-sdk'
import { PadlockError } from 'padlock-sdk'
import { element } from './element.ts'
import { sayError, sayWrongAddress } from './errors-in-words.ts'

export const makeStartConversation = (
  client: Client,
  onStarted: (conversation: Conversation) => void,
): HTMLFormElement => {
  const field = element('input', {
    id: 'peer-address',
    type: 'text',
    placeholder: '0x…',
    spellcheck: 'false',
    autocomplete: 'off',
    autocapitalize: 'none',
    'aria-describedby': 'peer-address-error',
  })
  const error = element('p', { id: 'peer-address-error', class: 'field-error', role: 'alert' })
  const form = element(
    'form',
    { class: 'start', novalidate: true },
    element('label', { for: 'peer-address' }, 'Write to an address'),
    element(
      'div',
      { class: 'row' },
      field,
      element('button', { type: 'submit', class: 'primary' }, 'Write'),
    ),
    error,
  )

  const fail = (sentence: string): void => {
    error.textContent = sentence
    field.setAttribute('aria-invalid', 'true')
    field.focus()
  }
  const start = async (): Promise<void> => {
    const text = field.value.trim()
    error.textContent = ''
    field.removeAttribute('aria-invalid')
    try {
      const conversation = await client.conversation(text)
      field.value = ''
      onStarted(conversation)
    } catch (cause) {
      const isWrong = cause instanceof PadlockError && cause.code === 'invalid_address'
      fail(isWrong ? sayWrongAddress(text) : sayError(cause))
    }
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void start()
  })
  return form
}
