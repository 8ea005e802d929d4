/** What the rows of big accounts and of strangers do in the page. */

import { clientOf } from './clients.ts'

/** As a person says so. */
export const allow = async (database: string, addresses: readonly string[]): Promise<void> => {
  for (const address of addresses) await clientOf(database).setConsent(address, 'allowed')
}

/** Milliseconds of each page of 50, over all conversations. */
export const listAll = async (database: string): Promise<readonly number[]> => {
  const client = clientOf(database)
  const pages: number[] = []
  let before: Awaited<ReturnType<typeof client.conversations>>[number] | undefined
  for (;;) {
    const start = performance.now()
    const page = await client.conversations({ limit: 50, ...(before && { before }) })
    if (page.length === 0) return pages
    pages.push(performance.now() - start)
    before = page.at(-1)
  }
}

const heardTexts = new Set<string>()
const textListeners = new Map<string, () => void>()

/** Reads the stream after a cursor, as a bot does. */
export const listen = (database: string, since: string): void => {
  const read = async () => {
    for await (const message of clientOf(database).messages({ since })) {
      if (message.type !== 'text') continue
      heardTexts.add(message.content)
      textListeners.get(message.content)?.()
    }
  }
  // It ends when the client is closed.
  read().catch(() => undefined)
}

/** Resolves once this text came by the stream. */
export const untilText = async (text: string): Promise<void> => {
  if (heardTexts.has(text)) return
  await new Promise<void>((resolve) => textListeners.set(text, resolve))
}

/** Codes of everything that the client warns of. */
export const warnings = (database: string): readonly string[] =>
  clientOf(database).status.warnings.map(({ code, count }) => `${count} ${code}`)
