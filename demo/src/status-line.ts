/** Says in words whether a person is connected, and what went wrong, with what to do. */

import type { ClientStatus } from 'padlock-sdk'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'
import type { Session } from './session.ts'
import { sayState, sayWarnings } from './status-words.ts'

export interface StatusLine {
  /** The state in one word. */
  readonly chip: HTMLElement
  /** Sentences; empty while all is well. */
  readonly notices: HTMLElement
  close(): void
}

const makeNotice = (sentence: string, ...more: readonly HTMLElement[]): HTMLElement =>
  element('div', { class: 'notice' }, icon('warning'), element('p', {}, sentence), ...more)

/** The notices of a client; an offline client says first that nothing is lost. */
const sentencesOf = (status: ClientStatus): readonly string[] => {
  const { detail } = sayState(status.state)
  const warnings = sayWarnings(status)
  return detail === undefined ? warnings : [...warnings, detail]
}

export const makeStatusLine = (session: Session): StatusLine => {
  const word = element('span', { class: 'chip-word' })
  const chip = element(
    'span',
    { class: 'chip', role: 'status' },
    element('span', { class: 'dot', 'aria-hidden': 'true' }),
    word,
  )
  const notices = element('div', { class: 'notices', role: 'status' })
  let shown = ''

  const show = (state: string, label: string, sentences: readonly string[], retry: boolean) => {
    chip.dataset.state = state
    if (word.textContent !== label) word.textContent = label
    // Said again only when it changed, or a screen reader would repeat it.
    const text = `${retry} ${sentences.join('\n')}`
    if (text === shown) return
    shown = text
    const again = button({ class: 'quiet' }, () => session.open(), 'Try again')
    notices.replaceChildren(
      ...(sentences.length > 0 ? [makeNotice(sentences.join(' '), ...(retry ? [again] : []))] : []),
    )
  }

  const showPhase = (): void => {
    const { phase } = session
    if (phase.kind === 'open') {
      const { status } = phase.client
      show(status.state, sayState(status.state).label, sentencesOf(status), false)
    } else if (phase.kind === 'failed') {
      const label = phase.willRetry ? 'Trying again' : 'Not connected'
      show('failed', label, [sayError(phase.error)], !phase.willRetry)
    } else {
      show(phase.kind, phase.kind === 'opening' ? 'Opening' : 'Closed', [], false)
    }
  }

  const close = session.listen({
    onPhase: showPhase,
    onEvent: ({ kind }) => {
      if (kind === 'status') showPhase()
    },
  })
  showPhase()
  return { chip, notices, close }
}
