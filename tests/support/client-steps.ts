/** What tests do with a client, the same in Node and in a page: read a conversation, wait for one. */
import type { Client, Message } from '../../src/index.ts'
import type { Shown } from './world.ts'

export const show = (message: Message): Shown => ({
  id: message.id,
  sender: message.sender,
  content: message.content,
  state: message.state,
  reason: message.reason,
})

/** The whole conversation, oldest first, page by page. */
export const readHistory = async (
  client: Client,
  peer: string,
  limit = 100,
): Promise<readonly Shown[]> => {
  const conversation = await client.conversation(peer)
  const all: Message[] = []
  for (let before: string | undefined; ; ) {
    const page = await conversation.history({ before, limit })
    all.push(...page)
    const last = page.at(-1)
    if (!last) return all.reverse().map(show)
    before = last.cursor
  }
}

/** Resolves when the conversation is as wanted; looks again whenever something happened. */
export const untilHistory = async (
  client: Client,
  peer: string,
  isDone: (now: readonly Shown[]) => boolean,
): Promise<void> => {
  const stop = new AbortController()
  const { signal } = stop
  let isNew = false
  let tell: () => void = () => undefined
  const watch = async (stream: AsyncIterable<unknown>) => {
    for await (const _ of stream) {
      isNew = true
      tell()
    }
  }
  const watching = Promise.race([
    watch(client.events({ signal })),
    watch(client.messages({ signal })),
  ])
  try {
    for (;;) {
      isNew = false
      if (isDone(await readHistory(client, peer))) return
      const news = new Promise<void>((resolve) => {
        tell = resolve
        if (isNew) resolve()
      })
      await Promise.race([news, watching])
    }
  } finally {
    stop.abort()
    await watching
  }
}

export const isSettled =
  (count: number) =>
  (now: readonly Shown[]): boolean =>
    now.length >= count && now.every(({ state }) => state !== 'pending')

export const isWaiting =
  (reason: string) =>
  (now: readonly Shown[]): boolean =>
    now.at(-1)?.reason === reason

export const untilState = async (client: Client, state: 'live' | 'offline'): Promise<void> => {
  const stop = new AbortController()
  const events = client.events({ signal: stop.signal })
  if (client.status.state === state) return stop.abort()
  for await (const event of events) {
    if (event.kind === 'status' && event.status.state === state) return
  }
}

export const countWarnings = (client: Client): Readonly<Record<string, number>> =>
  Object.fromEntries(client.status.warnings.map(({ code, count }) => [code, count]))
