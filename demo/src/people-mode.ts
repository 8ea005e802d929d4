/** Two people on one page, each with their own wallet, client, worker and database. */

import { ask } from './dialogs.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import type { Mode, ModeContext } from './mode.ts'
import { makePersonPane, type Person } from './person-pane.ts'
import { Session } from './session.ts'
import { forgetThrowawayWallet, throwawayWallet } from './throwaway-wallets.ts'

const makePerson = (id: string, name: string, node: string): Person => {
  const wallet = throwawayWallet(id)
  const { address } = wallet
  const session = new Session({ wallet, address, node, database: `demo-${id}`, retries: true })
  return { id, name, address, session }
}

/**
 * On a narrow screen one person is in view; this selects which, and counts the other's new
 * messages.
 */
const makeSwitch = (people: readonly Person[], panes: HTMLElement) => {
  const unread = new Map<string, number>()
  const tabs = people.map(({ id, name }) => {
    const count = element('span', { class: 'count' })
    const tab = button(
      { 'data-person': id, 'aria-pressed': 'false' },
      () => choose(id),
      name,
      count,
    )
    return { id, tab, count }
  })
  const showCounts = (): void => {
    for (const { id, count } of tabs) {
      const many = unread.get(id) ?? 0
      count.textContent = many > 0 ? `${many} new` : ''
    }
  }
  const choose = (chosen: string): void => {
    panes.dataset.inView = chosen
    unread.delete(chosen)
    for (const { id, tab } of tabs) tab.setAttribute('aria-pressed', String(id === chosen))
    showCounts()
  }
  const stops = people.map(({ id, session }) =>
    session.listen({
      onMessage: ({ isOwn }) => {
        if (isOwn || !narrow.matches || panes.dataset.inView === id) return
        unread.set(id, (unread.get(id) ?? 0) + 1)
        showCounts()
      },
    }),
  )
  choose(people[0]?.id ?? '')
  const root = element(
    'div',
    { class: 'switch', role: 'group', 'aria-label': 'Person in view' },
    ...tabs.map(({ tab }) => tab),
  )
  return {
    root,
    close: () => {
      for (const stop of stops) stop()
    },
  }
}

/** Where only one person is in view, with little room for explanations; as in parts.css. */
const narrow = window.matchMedia('(max-width: 720px)')

const makeAbout = () => {
  const root = element(
    'details',
    { class: 'about', open: !narrow.matches },
    element('summary', {}, 'You are both of them: write as Alice, read as Bob.'),
    element(
      'p',
      {},
      'Each has their own keys and database. Messages between them are sealed, and the node in between cannot read them. The first one is a request: whoever gets it accepts it, by a button or by answering.',
    ),
    element(
      'p',
      {},
      'Their wallets are throw-away: this page made them and keeps their keys in this browser, for this demo only. Never send them anything of value.',
    ),
  )
  const adapt = (): void => {
    root.open = !narrow.matches
  }
  narrow.addEventListener('change', adapt)
  return { root, close: () => narrow.removeEventListener('change', adapt) }
}

export const openPeopleMode = ({ node, announce, restart }: ModeContext): Mode => {
  const alice = makePerson('alice', 'Alice', node)
  const bob = makePerson('bob', 'Bob', node)
  const people = [alice, bob]
  const panes = [makePersonPane(alice, bob, announce), makePersonPane(bob, alice, announce)]
  const side = element('div', { class: 'panes' }, ...panes.map(({ root }) => root))
  const chooser = makeSwitch(people, side)
  const about = makeAbout()
  const failure = element('p', { class: 'field-error', role: 'alert' })

  const startOver = async (): Promise<void> => {
    const agreed = await ask({
      title: 'Start over?',
      text: 'This deletes the messages and keys of Alice and Bob in this browser, and makes two new people. It cannot be undone.',
      yes: 'Start over',
    })
    if (!agreed) return
    try {
      await Promise.all(people.map(({ session }) => session.deleteLocalData()))
    } catch (error) {
      failure.textContent = sayError(error)
      return
    }
    for (const { id } of people) forgetThrowawayWallet(id)
    restart()
  }

  const root = element(
    'div',
    { class: 'people' },
    element(
      'div',
      { class: 'intro' },
      about.root,
      button({ class: 'quiet' }, () => void startOver(), 'Start over'),
      failure,
    ),
    chooser.root,
    side,
  )
  for (const { session } of people) session.open()

  return {
    root,
    close: async () => {
      chooser.close()
      about.close()
      for (const pane of panes) pane.close()
      await Promise.all(people.map(({ session }) => session.close()))
    },
  }
}
