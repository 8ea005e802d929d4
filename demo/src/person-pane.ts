/** One of the demo's two people: who they are, whether they are connected, what they write. */

import { PadlockError } from 'padlock-sdk'
import { makeAvatar, makeCopyAddress, shortAddress } from './address-words.ts'
import { type ConversationView, openConversationView } from './conversation-view.ts'
import { makeDeviceNotices } from './device-notices.ts'
import { openDevicesDialog } from './devices-dialog.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'
import type { Session } from './session.ts'
import { makeStatusLine } from './status-line.ts'

export interface Person {
  /** For ids and databases. */
  readonly id: string
  readonly name: string
  readonly address: string
  readonly session: Session
}

export interface PersonPane {
  readonly root: HTMLElement
  focus(): void
  close(): void
}

const sayEmpty = (own: Person, peer: Person): string =>
  `No messages yet. Write to ${peer.name}: it is encrypted here, as ${own.name}, and only ${peer.name} can read it.`

export const makePersonPane = (
  person: Person,
  peer: Person,
  announce: (sentence: string) => void,
): PersonPane => {
  const { id, name, address, session } = person
  const status = makeStatusLine(session)
  const openDevices = (): void =>
    openDevicesDialog({
      session,
      accounts: [
        { address, heading: `Devices of ${name}` },
        { address: peer.address, heading: `Devices of ${peer.name}` },
      ],
    })
  const devices = makeDeviceNotices({
    session,
    nameOf: (other) => (other === peer.address ? peer.name : shortAddress(other)),
    openDevices,
  })
  const body = element('div', { class: 'pane-body' })
  /** For the menu of the conversation. */
  const menu = element('div')
  const headingId = `${id}-name`
  const root = element(
    'section',
    { class: 'pane', id: `${id}-pane`, 'data-person': id, 'aria-labelledby': headingId },
    element(
      'header',
      { class: 'pane-header' },
      makeAvatar(address, name.slice(0, 1)),
      element(
        'div',
        { class: 'who' },
        element('h2', { id: headingId }, name),
        makeCopyAddress(address, name),
      ),
      status.chip,
      button(
        { class: 'icon-button', 'aria-label': `Devices of ${name}`, title: 'Devices' },
        openDevices,
        icon('devices'),
      ),
      menu,
    ),
    status.notices,
    devices.root,
    body,
  )

  let view: ConversationView | undefined
  const showConversation = async (): Promise<void> => {
    view?.close()
    view = undefined
    menu.replaceChildren()
    const { phase } = session
    if (phase.kind !== 'open') {
      const words = phase.kind === 'opening' ? `Opening ${name}’s messages…` : ''
      body.replaceChildren(element('p', { class: 'placeholder' }, words))
      return
    }
    try {
      const conversation = await phase.client.conversation(peer.address)
      if (session.phase !== phase) return
      view = openConversationView({
        id,
        client: phase.client,
        session,
        conversation,
        ownName: name,
        peerName: peer.name,
        emptyText: sayEmpty(person, peer),
        announce,
      })
      menu.replaceChildren(view.menu)
      body.replaceChildren(view.root)
    } catch (error) {
      if (error instanceof PadlockError && error.code === 'closed') return
      body.replaceChildren(element('p', { class: 'placeholder', role: 'alert' }, sayError(error)))
    }
  }
  const stop = session.listen({ onPhase: () => void showConversation() })
  void showConversation()

  return {
    root,
    focus: () => view?.focus(),
    close: () => {
      stop()
      status.close()
      devices.close()
      view?.close()
    },
  }
}
