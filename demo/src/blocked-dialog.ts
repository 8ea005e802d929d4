/** Whom the person blocked, and unblocking them. */

import { type Client, type Conversation, PadlockError } from 'padlock-sdk'
import { shortAddress } from './address-words.ts'
import { showDialog } from './dialogs.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import type { Session } from './session.ts'

const makeBlocked = ({ peer }: Conversation, unblock: () => void): HTMLElement => {
  const name = shortAddress(peer)
  return element(
    'li',
    { class: 'device' },
    element(
      'div',
      { class: 'device-words' },
      element('span', { class: 'device-id', title: peer }, name),
    ),
    button({ class: 'quiet', 'aria-label': `Unblock ${name}` }, unblock, 'Unblock'),
  )
}

/** Does nothing while the client is not open. */
export const openBlockedDialog = (client: Client, session: Session): void => {
  const list = element('ul', {
    class: 'device-list scrolls',
    tabindex: '0',
    'aria-label': 'Blocked accounts',
  })
  const note = element('p', { class: 'help', role: 'status' })
  const failure = element('p', { class: 'field-error', role: 'alert' })
  const failing = async (run: () => Promise<void>): Promise<void> => {
    try {
      await run()
      failure.textContent = ''
    } catch (error) {
      if (error instanceof PadlockError && error.code === 'closed') return
      failure.textContent = sayError(error)
    }
  }
  const read = async (): Promise<void> => {
    const blocked = await client.conversations({ consent: 'denied' })
    list.replaceChildren(
      ...blocked.map((conversation) =>
        makeBlocked(conversation, () => void failing(() => unblock(conversation))),
      ),
    )
    list.hidden = blocked.length === 0
    if (blocked.length === 0) note.textContent ||= 'You have blocked nobody.'
  }
  const unblock = async ({ peer }: Conversation): Promise<void> => {
    // The pressed button disappears.
    done.focus()
    await client.setConsent(peer, 'allowed')
    note.textContent = `${shortAddress(peer)} can write to you again. The first message may take a minute.`
  }
  const done = button({ class: 'primary', autofocus: true }, () => dialog.close(), 'Close')
  const dialog = showDialog(
    'Blocked accounts',
    element(
      'p',
      { class: 'help' },
      'Nothing that they send is kept. One whose conversation you deleted is not listed: write its address above the conversations, and unblock it there.',
    ),
    list,
    note,
    failure,
    element('div', { class: 'actions' }, done),
  )
  dialog.classList.add('devices-dialog')
  const stop = session.listen({
    onPhase: () => dialog.close(),
    onEvent: ({ kind }) => {
      if (kind === 'consent') void failing(read)
    },
  })
  dialog.addEventListener('close', stop)
  void failing(read)
}
