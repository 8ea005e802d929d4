/** Makes room in an account whose devices are all taken, with the wallet alone. */

import {
  type Installation,
  type InstallationsOptions,
  listInstallations,
  revokeInstallations,
} from 'padlock-sdk'
import { saySince, shortDevice } from './device-words.ts'
import { showDialog } from './dialogs.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'

/** The newest ones are more likely in use. */
const keptNewest = 10

const makeChoice = (device: Installation, isChosen: boolean) => {
  const box = element('input', { type: 'checkbox', id: `remove-${device.id}` })
  box.checked = isChosen
  const root = element(
    'li',
    { class: 'device' },
    box,
    element(
      'label',
      { for: box.id, class: 'device-words' },
      element('span', { class: 'device-id' }, shortDevice(device)),
      element('span', { class: 'help' }, saySince(device)),
    ),
  )
  return { device, box, root }
}

/** Lists the devices, the oldest first, and removes those that are chosen. */
export const openFullAccountDialog = (
  options: Omit<InstallationsOptions, 'signal'>,
  onRemoved: () => void,
): void => {
  const end = new AbortController()
  const asking = { ...options, signal: end.signal }
  const progress = element('p', { class: 'help', role: 'status' }, 'Asking the node…')
  const failure = element('p', { class: 'field-error', role: 'alert' })
  const list = element('ul', {
    class: 'device-list scrolls',
    tabindex: '0',
    'aria-label': 'Devices',
  })
  let choices: readonly ReturnType<typeof makeChoice>[] = []

  const showCount = () => {
    const count = choices.filter(({ box }) => box.checked).length
    removal.textContent = `Remove ${count} ${count === 1 ? 'device' : 'devices'}`
    removal.disabled = count === 0
  }

  const load = async (): Promise<void> => {
    try {
      const devices = await listInstallations(asking)
      const left = devices
        .filter(({ state }) => state !== 'revoked')
        .toSorted((a, b) => a.createdAtMs - b.createdAtMs)
      choices = left.map((device, at) => makeChoice(device, at < left.length - keptNewest))
      list.replaceChildren(...choices.map(({ root }) => root))
      progress.textContent = 'The oldest are chosen. Removed devices never come back.'
      showCount()
    } catch (error) {
      progress.textContent = ''
      if (!end.signal.aborted) failure.textContent = sayError(error)
    }
  }

  const remove = async (): Promise<void> => {
    const ids = choices.filter(({ box }) => box.checked).map(({ device }) => device.id)
    failure.textContent = ''
    progress.textContent = 'Waiting for your wallet to sign…'
    removal.disabled = true
    try {
      await revokeInstallations(ids, asking)
      dialog.close()
      onRemoved()
    } catch (error) {
      progress.textContent = ''
      if (!end.signal.aborted) failure.textContent = sayError(error)
      showCount()
    }
  }

  const removal = button({ class: 'primary' }, () => void remove(), 'Remove devices')
  removal.disabled = true
  list.addEventListener('change', showCount)
  const dialog = showDialog(
    'Remove old devices',
    element(
      'p',
      { class: 'help' },
      'An account has at most 100 devices. Your wallet signs once for all that you remove; it costs nothing.',
    ),
    list,
    progress,
    failure,
    element(
      'div',
      { class: 'actions' },
      button({ class: 'quiet' }, () => dialog.close(), 'Cancel'),
      removal,
    ),
  )
  dialog.classList.add('devices-dialog')
  dialog.addEventListener('close', () => end.abort())
  void load()
}
