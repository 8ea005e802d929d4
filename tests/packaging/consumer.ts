/**
 * An application for the type check: everything in the public API that applications use, and
 * mistakes that must be caught. `types.test.ts` compiles it against the packed package.
 */
import {
  type Client,
  type ClientEvent,
  createClient,
  type Message,
  PadlockError,
  type PadlockErrorCode,
  type ProviderLike,
} from 'padlock-sdk'
import { createClient as createInlineClient, type Client as InlineClient } from 'padlock-sdk/inline'

export const open = (wallet: ProviderLike, signal: AbortSignal): Promise<Client> =>
  createClient({
    wallet,
    node: 'https://node.example',
    signal,
    createWorker: () => new Worker('/padlock/worker.js', { type: 'module' }),
    wasmUrl: new URL('https://page.example/padlock.wasm'),
    chains: { 1: 'https://rpc.example', 10: wallet },
  })

// One type for both entries.
export const openInline = (wallet: ProviderLike): Promise<Client> =>
  createInlineClient({ wallet, node: 'https://node.example' })
export const asInline = (client: Client): InlineClient => client

export const read = async (client: Client, to: string, signal: AbortSignal): Promise<string[]> => {
  const chat = await client.conversation(to)
  const sent: Message = await chat.send('gm', { until: 'sent' })
  const texts: string[] = []
  for await (const message of chat.messages({ since: sent.cursor, signal })) {
    if (message.type === 'text') texts.push(message.content)
    else texts.push(message.fallback ?? message.contentType)
  }
  for (const message of await chat.history({ before: undefined, limit: 20 })) {
    const reason: PadlockErrorCode | undefined = message.reason
    texts.push(`${message.state} ${reason ?? ''}`)
  }
  return texts
}

/** Every kind of event, and no other. */
const describe = (event: ClientEvent): string => {
  switch (event.kind) {
    case 'status':
      return event.status.state
    case 'message-state':
      return event.message.id
    case 'conversation':
      return event.conversation.peer
    case 'installation-added':
    case 'installation-revoked':
      return event.installation.address
    case 'restored':
      return event.unopened.toFixed()
    case 'node-accused':
      return event.claimant.keys.ed25519
    case 'retransmitted':
      return event.to.id
    case 'envelopes':
      return event.code
    case 'consent':
      return event.consent
    case 'deleted':
      return event.conversationId
    default: {
      const none: never = event
      return none
    }
  }
}

export const listen = async (client: Client): Promise<void> => {
  for await (const event of client.events()) console.log(describe(event))
  await client.close()
}

export const explain = (error: unknown): string => {
  if (!(error instanceof PadlockError)) return 'unknown'
  if (error.code === 'network_unavailable' && error.retryable) return 'later'
  // @ts-expect-error the codes are known, this is none of them
  if (error.code === 'no_such_code') return 'never'
  return `${error.code} ${error.details?.limit ?? ''}`
}

// @ts-expect-error a node is needed
void createClient({ wallet: { request: async () => [] } })
// @ts-expect-error a wallet is needed
void createInlineClient({ wallet: {}, node: 'https://node.example' })
