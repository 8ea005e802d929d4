/** The devices of this account and of the other person, and removing one of this account's. */

import { type Client, type Installation, PadlockError } from 'padlock-sdk'
import { inOrder, sayDeviceState, saySince, shortDevice } from './device-words.ts'
import { ask, showDialog } from './dialogs.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import type { Session } from './session.ts'

export interface DevicesDialogOptions {
  readonly session: Session
  /** The accounts, one list for each, in this order; this account's devices can be removed. */
  readonly accounts: readonly { readonly address: string; readonly heading: string }[]
}

interface DeviceList {
  readonly root: HTMLElement
  refresh(): Promise<void>
}

const makeDevice = (
  device: Installation,
  remove: (() => void) | undefined,
  vouch: (() => void) | undefined,
): HTMLElement => {
  const name = shortDevice(device)
  return element(
    'li',
    { class: 'device', 'data-state': device.state },
    element(
      'div',
      { class: 'device-words' },
      element(
        'p',
        { class: 'device-name' },
        element('span', { class: 'device-id', title: device.id }, name),
        ...(device.isThis ? [element('span', { class: 'tag' }, 'This device')] : []),
      ),
      element('p', { class: 'help' }, saySince(device)),
    ),
    element('span', { class: 'device-state' }, sayDeviceState(device)),
    ...(vouch
      ? [button({ class: 'quiet', 'aria-label': `${name} is mine` }, vouch, 'It is mine')]
      : []),
    ...(remove
      ? [button({ class: 'quiet', 'aria-label': `Remove ${name}` }, remove, 'Remove')]
      : []),
  )
}

const makeDeviceList = (
  client: Client,
  address: string,
  heading: string,
  remove: (device: Installation) => void,
  vouch: (device: Installation) => void,
): DeviceList => {
  const list = element('ul', { class: 'device-list' })
  const note = element('p', { class: 'help', role: 'status' }, 'Asking the node…')
  const failure = element('p', { class: 'field-error', role: 'alert' })
  let newest = 0

  const refresh = async (): Promise<void> => {
    newest += 1
    const reading = newest
    try {
      const devices = await client.installations(address)
      if (reading !== newest) return
      const isOwn = address === client.address
      // A removed device cannot remove others.
      const mayRemove = isOwn && !devices.some(({ isThis, state }) => isThis && state === 'revoked')
      list.replaceChildren(
        ...inOrder(devices).map((device) =>
          makeDevice(
            device,
            mayRemove && !device.isThis && device.state !== 'revoked'
              ? () => remove(device)
              : undefined,
            mayRemove && !device.isThis && device.state === 'pending'
              ? () => vouch(device)
              : undefined,
          ),
        ),
      )
      note.textContent = devices.length === 0 ? 'No device yet.' : ''
      failure.textContent = ''
    } catch (error) {
      if (reading !== newest || (error instanceof PadlockError && error.code === 'closed')) return
      note.textContent = ''
      failure.textContent = sayError(error)
    }
  }
  const root = element(
    'section',
    { class: 'devices', 'aria-label': heading },
    element('h3', {}, heading),
    list,
    note,
    failure,
  )
  return { root, refresh }
}

/** Does nothing while the client is not open. Closing the dialog cancels a pending removal. */
export const openDevicesDialog = ({ session, accounts }: DevicesDialogOptions): void => {
  const { phase } = session
  if (phase.kind !== 'open') return
  const { client } = phase
  const end = new AbortController()
  const progress = element('p', { class: 'help', role: 'status' })
  const failure = element('p', { class: 'field-error', role: 'alert' })
  let isRemoving = false

  const remove = async (device: Installation): Promise<void> => {
    if (isRemoving) return
    const agreed = await ask({
      title: `Remove ${shortDevice(device)}?`,
      text: 'It will never send or receive again; this cannot be undone. What it received before stays readable there. Your wallet will ask for a signature, which costs nothing.',
      yes: 'Remove device',
    })
    if (!agreed || end.signal.aborted) return
    isRemoving = true
    failure.textContent = ''
    progress.textContent = 'Waiting for your wallet to sign…'
    // The pressed button may disappear with the next list.
    done.focus()
    try {
      await client.revoke([device.id], { signal: end.signal })
      await refresh()
      progress.textContent = `${shortDevice(device)} was removed.`
    } catch (error) {
      progress.textContent = ''
      if (!end.signal.aborted) failure.textContent = sayError(error)
    } finally {
      isRemoving = false
    }
  }

  /** Another kind of wallet of this person added it: no signature is needed to recognise it. */
  const vouch = async (device: Installation): Promise<void> => {
    failure.textContent = ''
    done.focus()
    try {
      await client.vouch([device.id])
      await refresh()
      progress.textContent = `${shortDevice(device)} is active now.`
    } catch (error) {
      failure.textContent = sayError(error)
    }
  }

  const lists = accounts.map(({ address, heading }) =>
    makeDeviceList(
      client,
      address,
      heading,
      (device) => void remove(device),
      (device) => void vouch(device),
    ),
  )
  const refresh = async (): Promise<void> => {
    await Promise.all(lists.map((list) => list.refresh()))
  }
  const done = button({ class: 'primary', autofocus: true }, () => dialog.close(), 'Close')
  const dialog = showDialog(
    'Devices',
    element(
      'p',
      { class: 'help' },
      'Each browser with its own keys is a device. All active devices of an account receive its messages.',
    ),
    ...lists.map(({ root }) => root),
    progress,
    failure,
    element('div', { class: 'actions' }, done),
  )
  dialog.classList.add('devices-dialog')
  const stop = session.listen({
    onPhase: () => dialog.close(),
    onEvent: (event) => {
      const isLive = event.kind === 'status' && event.status.state === 'live'
      const isAboutDevices =
        event.kind === 'installation-added' || event.kind === 'installation-revoked'
      if (isLive || isAboutDevices) void refresh()
    },
  })
  dialog.addEventListener('close', () => {
    stop()
    end.abort()
  })
  void refresh()
}
