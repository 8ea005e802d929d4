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
  revoked: { label: 'Removed', detail: sayCode('revoked') },
  closed: { label: 'Closed' },
}

export const sayState = (state: ClientState): StateWords => states[state]

/** These say why there is no connection; once there is one, they are history. */
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

/** Harmless repetitions that nobody needs to hear of. */
const unremarkable: ReadonlySet<PadlockErrorCode> = new Set(['duplicate_message'])

const sayWarning = ({ code, count }: Warning): string =>
  count === 1 || aboutConnection.has(code) ? sayCode(code) : `${sayCode(code)} (${count} times)`

/** What the person should read now; often nothing. Of a lost connection only the newest reason counts. */
export const sayWarnings = ({ state, warnings }: ClientStatus): readonly string[] => {
  const reason = warnings.findLast(({ code }) => aboutConnection.has(code))
  const others = warnings.filter(
    ({ code }) => !aboutConnection.has(code) && !unremarkable.has(code),
  )
  return (reason && state === 'offline' ? [reason, ...others] : others).map(sayWarning)
}
