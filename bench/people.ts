/**
 * The other side: real clients in this process, on an in-memory IndexedDB, that write to the
 * measured browser. Their own cost is not measured.
 */

import 'fake-indexeddb/auto'
import { readFile } from 'node:fs/promises'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import type { Client } from '../src/facade/client.ts'
import { openClient } from '../src/facade/open-client.ts'
import type { AccountLike } from '../src/wallet/wallet-like.ts'
import { serve } from '../src/worker/main.ts'

const readWasm = async (): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await readFile(new URL('../wasm/pkg/padlock.wasm', import.meta.url)))

export const createWallet = () => privateKeyToAccount(generatePrivateKey())

/** A new installation of this wallet's account. */
export const openPerson = async (
  node: string,
  wallet: AccountLike,
  name: string,
): Promise<Client> => {
  const wasm = await readWasm()
  return openClient({ wallet, node, database: name }, async () => {
    const { port1, port2 } = new MessageChannel()
    port1.start()
    port2.start()
    serve(port2)
    return {
      port: port1,
      wasm: [async () => wasm],
      terminate: () => {
        port1.close()
        port2.close()
      },
    }
  })
}

/** Resolves once the client has stored that many messages, its own included. */
export const untilStored = async (client: Client, count: number): Promise<void> => {
  let seen = 0
  for await (const _ of client.messages({ since: '0' })) if (++seen >= count) return
}

/** Resolves once the client is connected and has caught up. */
export const untilLive = async (client: Client): Promise<void> => {
  const events = client.events()
  if (client.status.state === 'live') return
  for await (const event of events) {
    if (event.kind === 'status' && event.status.state === 'live') return
  }
}

/** Resolves once the client knows an installation of the account. */
export const untilKnown = async (client: Client, address: string): Promise<void> => {
  while (!(await client.canMessage(address))) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/**
 * Sends this many texts to an account, in chunks as large as the outbox seals, and waits for the
 * node.
 */
export const sendMany = async (
  client: Client,
  to: string,
  count: number,
  bytes: number,
): Promise<void> => {
  const conversation = await client.conversation(to)
  const chunk = 50
  for (let sent = 0; sent < count; sent += chunk) {
    const texts = Array.from({ length: Math.min(chunk, count - sent) }, (_, nth) =>
      `${sent + nth} `.padEnd(bytes, 'Fixed text, long enough. '),
    )
    await Promise.all(texts.map((text) => conversation.send(text, { until: 'sent' })))
  }
}
