/** One person with their own wallet: choosing it, connecting, and then the desk. */

import { PadlockError } from 'padlock-sdk'
import { recall, remember } from './browser-memory.ts'
import { ask } from './dialogs.ts'
import { button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { openFullAccountDialog } from './full-account-dialog.ts'
import type { Mode, ModeContext } from './mode.ts'
import { Session } from './session.ts'
import { makeCard, makeWalletChooser } from './wallet-chooser.ts'
import { makeWalletDesk, type WalletDesk } from './wallet-desk.ts'
import { type FoundWallet, findWallets, watchAccount } from './wallet-discovery.ts'

const note = 'wallet'

interface Remembered {
  readonly id: string
  readonly address: string
}

const recallWallet = (): Remembered | undefined => {
  const [address, ...id] = recall(note)?.split(' ') ?? []
  return address ? { id: id.join(' '), address } : undefined
}

export const openWalletMode = ({ node, announce }: ModeContext): Mode => {
  const root = element('div', { class: 'wallet-mode' })
  let wallets: readonly FoundWallet[] = []
  let session: Session | undefined
  let desk: WalletDesk | undefined
  let closeConnection: () => void = () => undefined

  const showChooser = (): void => {
    root.replaceChildren(makeWalletChooser(wallets, (wallet) => connect(wallet)))
  }

  const disconnect = async (): Promise<void> => {
    closeConnection()
    const ending = session
    session = undefined
    desk?.close()
    desk = undefined
    await ending?.close()
  }

  const backToChooser = (): void => {
    remember(note, undefined)
    void disconnect().then(showChooser)
  }

  const startOver = async (made: Session): Promise<void> => {
    const agreed = await ask({
      title: 'Start over?',
      text: 'This deletes your messages and this browser’s keys here. Your other devices keep theirs. It cannot be undone.',
      yes: 'Start over',
    })
    if (!agreed) return
    try {
      await made.deleteLocalData()
      backToChooser()
    } catch (error) {
      root.replaceChildren(
        makeCard(
          'That did not work',
          element('p', { role: 'alert' }, sayError(error)),
          element('div', { class: 'actions' }, button({ class: 'quiet' }, backToChooser, 'Back')),
        ),
      )
    }
  }

  /** With an address, the wallet is not asked: an earlier visit resumes silently. */
  const connect = (wallet: FoundWallet, address?: string): void => {
    const made = new Session({
      wallet: wallet.provider,
      node,
      retries: false,
      ...(address === undefined ? {} : { address }),
    })
    session = made
    const stopListening = made.listen({ onPhase: () => showPhase(made, wallet) })
    const stopWatching = watchAccount(wallet.provider, (account) => desk?.onAccount(account))
    closeConnection = () => {
      stopListening()
      stopWatching()
    }
    made.open()
  }

  const showPhase = (made: Session, wallet: FoundWallet): void => {
    const { phase } = made
    desk?.close()
    desk = undefined
    if (phase.kind === 'opening') {
      root.replaceChildren(
        makeCard(
          `Continue in ${wallet.name}`,
          element(
            'p',
            { role: 'status' },
            'Your wallet may ask to share your address, and for one signature. Signing costs nothing. Then the node is told of this device.',
          ),
          element('div', { class: 'actions' }, button({ class: 'quiet' }, backToChooser, 'Cancel')),
        ),
      )
    } else if (phase.kind === 'failed') {
      const code = phase.error instanceof PadlockError ? phase.error.code : undefined
      const isNo = code === 'wallet_rejected'
      const isFull = code === 'too_many_installations'
      root.replaceChildren(
        makeCard(
          isNo ? 'Not connected' : 'That did not work',
          element('p', { role: 'alert' }, sayError(phase.error)),
          element(
            'div',
            { class: 'actions' },
            button({ class: 'quiet' }, backToChooser, 'Choose another wallet'),
            isFull
              ? button(
                  { class: 'primary' },
                  () => openFullAccountDialog({ wallet: wallet.provider, node }, () => made.open()),
                  'Remove old devices',
                )
              : button({ class: 'primary' }, () => made.open(), 'Try again'),
          ),
        ),
      )
    } else if (phase.kind === 'open') {
      const { client } = phase
      remember(note, `${client.address} ${wallet.id}`)
      desk = makeWalletDesk({
        client,
        session: made,
        announce,
        onDisconnect: backToChooser,
        onStartOver: () => void startOver(made),
      })
      root.replaceChildren(desk.root)
    }
  }

  showChooser()
  const stopFinding = findWallets((found) => {
    wallets = found
    if (session) return
    const earlier = recallWallet()
    const wallet = found.find(({ id }) => id === earlier?.id)
    if (wallet && earlier) connect(wallet, earlier.address)
    else showChooser()
  })

  return {
    root,
    close: async () => {
      stopFinding()
      await disconnect()
    },
  }
}
