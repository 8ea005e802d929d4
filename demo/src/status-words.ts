/** A client's state and warnings in everyday words. */

import type { ClientState, ClientStatus, PadlockErrorCode, Warning } from 'padlock-sdk'
import { sayCode } from './errors-in-words.ts'

export interface StateWords {
  readonly label: string
  readonly detail?: string
}

const states: Readonly<Record<ClientState, StateWords>> = {
  connecting: { label: 'Connecting' },
  'catching-up': { label: 'Catching up' },
  live: { label: 'Live' },
  offline: {
    label: 'Offline',
    detail: 'What you write is kept here and goes out by itself when the node is back.',
  },
  revoked: {
    label: 'Removed',
    detail:
      'This device was removed from the account. It sends and receives nothing any more; what is here can still be read. New keys add it again; the wallet signs once for them.',
  },
  closed: { label: 'Closed' },
}

export const sayState = (state: ClientState): StateWords => states[state]

/** Reasons for a missing connection; obsolete once there is one. */
const aboutConnection: ReadonlySet<PadlockErrorCode> = new Set([
  'network_unavailable',
  'bad_response',
  'incompatible_node',
  'unauthenticated_node',
  'unavailable',
  'rate_limited',
  'slow_reader',
  'clock_ahead',
])

/** Harmless, or explained in a separate notice (device-notices.ts). */
const unremarkable: ReadonlySet<PadlockErrorCode> = new Set([
  'duplicate_message',
  'sealing_key_too_soon',
  'restored',
  'node_equivocating',
  // As the person wished.
  'sender_denied',
])

/** Why something that arrived was not kept; the differences matter only to developers. */
const unreadable: ReadonlySet<PadlockErrorCode> = new Set([
  'unsealing_failed',
  'not_for_us',
  'unknown_sender',
  'sender_revoked',
  'bad_header_signature',
  'bad_mac',
  'session_unknown',
  'session_mismatch',
  'message_key_gone',
  'prekey_gone',
  'decryption_failed',
  'header_mismatch',
  'wrong_participants',
  'bad_payload',
  'parking_full',
])

const sayUnreadable = (warnings: readonly Warning[]): string => {
  const many = warnings.reduce((sum, { count }) => sum + count, 0)
  const what = many === 1 ? 'Something that arrived' : `${many} things that arrived`
  return `${what} could not be read and was left out. If you miss a message, ask for it again.`
}

/** What the person should read now; often nothing. Of a lost connection only the newest reason counts. */
export const sayWarnings = ({ state, warnings }: ClientStatus): readonly string[] => {
  const has = (code: PadlockErrorCode) => warnings.some((warning) => warning.code === code)
  const reason = warnings.findLast(({ code }) => aboutConnection.has(code))
  const lost = warnings.filter(({ code }) => unreadable.has(code))
  const others = warnings.filter(
    ({ code }) =>
      !aboutConnection.has(code) &&
      !unreadable.has(code) &&
      !unremarkable.has(code) &&
      // The first includes the second.
      !(code === 'node_withholding' && has('unknown_installation')),
  )
  return [
    ...(reason && state === 'offline' ? [sayCode(reason.code)] : []),
    ...others.map(({ code }) => sayCode(code)),
    ...(lost.length > 0 ? [sayUnreadable(lost)] : []),
  ]
}
