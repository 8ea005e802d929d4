/**
 * What a person must learn about devices, theirs and others', and about a node caught cheating:
 * whoever controls a device reads what is sent to its account. Each notice stays until it is
 * dismissed.
 */

import type { ClientEvent, Installation } from 'padlock-sdk'
import { shortDevice } from './device-words.ts'
import { button, element } from './element.ts'
import { icon } from './icons.ts'
import type { Session } from './session.ts'

/** Beyond that the oldest is dropped; the list of devices has them all. */
const maxShown = 4

export interface DeviceNotices {
  readonly root: HTMLElement
  close(): void
}

export interface DeviceNoticesOptions {
  readonly session: Session
  /** The name of somebody else. */
  readonly nameOf: (address: string) => string
  /** Shows the devices of this account, or of the other one. */
  readonly openDevices: (address: string) => void
}

interface Notice {
  readonly sentence: string
  readonly isCalm?: boolean
  /** The account whose devices a button beside it shows. */
  readonly about?: string
}

export const makeDeviceNotices = ({
  session,
  nameOf,
  openDevices,
}: DeviceNoticesOptions): DeviceNotices => {
  // Screen readers read each one once, not all of them at each change.
  const root = element('div', { class: 'notices', role: 'status', 'aria-atomic': 'false' })
  const shown = new Map<string, HTMLElement>()

  const dismiss = (key: string): void => {
    shown.get(key)?.remove()
    shown.delete(key)
  }
  /** A later notice about the same thing replaces the earlier one. */
  const show = (key: string, { sentence, isCalm = false, about }: Notice): void => {
    dismiss(key)
    const [oldest] = shown.keys()
    if (oldest !== undefined && shown.size >= maxShown) dismiss(oldest)
    const see =
      about === undefined
        ? []
        : [button({ class: 'quiet' }, () => openDevices(about), 'Show devices')]
    const notice = element(
      'div',
      { class: isCalm ? 'notice calm' : 'notice' },
      icon(isCalm ? 'devices' : 'warning'),
      element('p', {}, sentence),
      ...see,
      button({ class: 'quiet' }, () => dismiss(key), 'Dismiss'),
    )
    shown.set(key, notice)
    root.append(notice)
  }

  const ownAddress = (): string | undefined =>
    session.phase.kind === 'open' ? session.phase.client.address : undefined

  /** Someone's very first device is how they joined, and needs no notice. */
  const isFirst = async (address: string): Promise<boolean> => {
    if (session.phase.kind !== 'open') return false
    try {
      return (await session.phase.client.installations(address)).length === 1
    } catch {
      return false
    }
  }

  const reportAdded = async (device: Installation): Promise<void> => {
    const { id, address, isThis } = device
    if (isThis) return
    if (address === ownAddress()) {
      const sentence = `A new device was added to your account: ${shortDevice(device)}. If that was not you, remove it.`
      show(id, { sentence, about: address })
    } else if (!(await isFirst(address))) {
      const sentence = `${nameOf(address)} has a new device: ${shortDevice(device)}. It receives what you write from now on.`
      show(id, { sentence, isCalm: true, about: address })
    }
  }

  const reportRevoked = (device: Installation): void => {
    const { id, address, isThis } = device
    // The status says it, and what to do.
    if (isThis) return
    const isOwn = address === ownAddress()
    const sentence = isOwn
      ? `A device was removed from your account: ${shortDevice(device)}. It no longer receives messages.`
      : `A device of ${nameOf(address)} was removed: ${shortDevice(device)}. It no longer receives messages.`
    show(id, { sentence, isCalm: true, about: address })
  }

  const reportAccused = ({
    code,
    account,
    claimant,
  }: Extract<ClientEvent, { kind: 'node-accused' }>): void => {
    const own = ownAddress()
    const who =
      claimant.address === own
        ? 'Another device of yours'
        : `A device of ${nameOf(claimant.address)}`
    const whose = account === own ? 'your account' : nameOf(account)
    const what =
      code === 'node_withholding'
        ? 'saw more at the node than the node shows here'
        : 'was shown something different by the node'
    const sentence = `${who} (${shortDevice(claimant)}) ${what}, about the devices of ${whose}. Either the node is cheating, or that device is. Compare your lists of devices outside this page before you write anything that matters.`
    show(`${code} ${account} ${claimant.id}`, { sentence, about: account })
  }

  const reportRestored = (unopened: number): void => {
    const lost =
      unopened === 0
        ? 'Nothing seems to be missing.'
        : unopened === 1
          ? 'One message that arrived since then cannot be read here; ask for it again.'
          : `${unopened} messages that arrived since then cannot be read here; ask for them again.`
    show('restored', {
      sentence: `This browser had an older copy of its data, from a backup or a copied profile. It has repaired itself. ${lost}`,
    })
  }

  const close = session.listen({
    onEvent: (event) => {
      if (event.kind === 'installation-added') void reportAdded(event.installation)
      else if (event.kind === 'installation-revoked') reportRevoked(event.installation)
      else if (event.kind === 'node-accused') reportAccused(event)
      else if (event.kind === 'restored') reportRestored(event.unopened)
    },
  })
  return { root, close }
}
