/** Says in words whether a person is connected, and what went wrong, with what to do. */

import type { ClientEvent, ClientStatus, PadlockErrorCode } from 'padlock-sdk'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'
import type { Session } from './session.ts'
import { sayState, sayWarnings } from './status-words.ts'

export interface StatusLine {
  /** The state in one word. */
  readonly chip: HTMLElement
  /** Messages; empty while all is well. */
  readonly notices: HTMLElement
  close(): void
}

const makeNotice = (sentence: string, ...more: readonly HTMLElement[]): HTMLElement =>
  element('div', { class: 'notice' }, icon('warning'), element('p', {}, sentence), ...more)

/**
 * The notices of a client; a removed device has only one, and an offline one begins with the
 * assurance that nothing is lost.
 */
const sentencesOf = (status: ClientStatus): readonly string[] => {
  const { detail } = sayState(status.state)
  if (status.state === 'revoked' && detail !== undefined) return [detail]
  const warnings = sayWarnings(status)
  return detail === undefined ? warnings : [...warnings, detail]
}

/** Warnings with a way out, by the events that say that the person took it. */
const waysOut: Partial<Record<ClientEvent['kind'], readonly PadlockErrorCode[]>> = {
  consent: ['requests_full'],
  deleted: ['requests_full', 'storage_full'],
}

export const makeStatusLine = (session: Session): StatusLine => {
  const word = element('span', { class: 'chip-word' })
  const chip = element(
    'span',
    { class: 'chip', role: 'status', tabindex: '-1' },
    element('span', { class: 'dot', 'aria-hidden': 'true' }),
    word,
  )
  const notices = element('div', { class: 'notices', role: 'status' })
  let shown = ''
  /** How often these had happened when the person took the way out: shown again if there are more. */
  const passed = new Map<PadlockErrorCode, number>()
  const withoutPassed = (status: ClientStatus): ClientStatus => ({
    ...status,
    warnings: status.warnings.filter(({ code, count }) => count > (passed.get(code) ?? 0)),
  })
  const pass = (codes: readonly PadlockErrorCode[]): void => {
    if (session.phase.kind !== 'open') return
    for (const { code, count } of session.phase.client.status.warnings) {
      if (codes.includes(code)) passed.set(code, count)
    }
  }

  const actions = {
    'Try again': () => session.open(),
    'Start over with new keys': () => {
      // The button disappears; the line shows what happens next.
      chip.focus()
      void session.renew()
    },
  } as const

  const show = (
    state: string,
    label: string,
    sentences: readonly string[],
    action?: keyof typeof actions,
  ): void => {
    chip.dataset.state = state
    if (word.textContent !== label) word.textContent = label
    // Updated only when it changed, or a screen reader would repeat it.
    const text = `${action} ${sentences.join('\n')}`
    if (text === shown) return
    shown = text
    const more = action ? [button({ class: 'quiet' }, actions[action], action)] : []
    notices.replaceChildren(
      ...(sentences.length > 0 ? [makeNotice(sentences.join(' '), ...more)] : []),
    )
  }

  const showPhase = (): void => {
    const { phase } = session
    if (phase.kind === 'open') {
      const { status } = phase.client
      const action = status.state === 'revoked' ? 'Start over with new keys' : undefined
      show(status.state, sayState(status.state).label, sentencesOf(withoutPassed(status)), action)
    } else if (phase.kind === 'failed') {
      const label = phase.willRetry ? 'Trying again' : 'Not connected'
      show('failed', label, [sayError(phase.error)], phase.willRetry ? undefined : 'Try again')
    } else {
      show(phase.kind, phase.kind === 'opening' ? 'Opening' : 'Closed', [])
    }
  }

  const close = session.listen({
    onPhase: showPhase,
    onEvent: ({ kind }) => {
      const codes = waysOut[kind]
      if (codes) pass(codes)
      if (kind === 'status' || codes) showPhase()
    },
  })
  showPhase()
  return { chip, notices, close }
}
