/**
 * The setup of a run: a node, the browser, people who write, and databases in the page in the
 * states that the measurements start from.
 */

import type { Client } from '../src/facade/client.ts'
import { type BenchBrowser, openBenchBrowser } from './browser.ts'
import { type NodeProcess, startNodeProcess } from './node-process.ts'
import { createOlmBacklog } from './olm-reference.ts'
import { createWallet, openPerson, sendMany, untilKnown, untilStored } from './people.ts'

export const messageBytes = 1_024
/** Ten, because a session is spent after 1,000 messages without an answer. */
const senderCount = 10
/** Of the recipient account in the rows of sending. */
export const installationCount = 10
/** Consecutive messages of one session: as many as an outbox seals at once. */
const run = 50

export interface Stage {
  readonly node: NodeProcess
  readonly browser: BenchBrowser
  readonly senders: readonly Client[]
  /** Accounts of the page, which the others write to. */
  newAccount(): string
  /** The wallet of one of them. */
  walletOf(address: string): ReturnType<typeof createWallet>
  close(): Promise<void>
}

export const openStage = async (backlog: number): Promise<Stage> => {
  const node = await startNodeProcess()
  const wallets = new Map<string, ReturnType<typeof createWallet>>()
  const walletOf = (address: string) => {
    const wallet = wallets.get(address)
    if (!wallet) throw new Error('not an account of this bench')
    return wallet
  }
  const olmBacklog = await createOlmBacklog(senderCount, backlog, messageBytes, run)
  const browser = await openBenchBrowser(olmBacklog, async (address, message) => {
    return walletOf(address).signMessage({ message })
  })
  const senders: Client[] = []
  for (let nth = 0; nth < senderCount; nth++) {
    senders.push(await openPerson(node.url, createWallet(), `sender-${nth}`))
  }
  return {
    node,
    browser,
    senders,
    newAccount: () => {
      const wallet = createWallet()
      wallets.set(wallet.address, wallet)
      return wallet.address
    },
    walletOf,
    close: async () => {
      for (const sender of senders) await sender.close()
      await browser.close()
      await node.close()
    },
  }
}

/**
 * Registers an account in the page and lets each of these write to it and get an answer, so that
 * both sides have a working session. Leaves the database closed.
 */
export const meet = async (
  { node, browser }: Stage,
  address: string,
  database: string,
  others: readonly Client[],
): Promise<void> => {
  const { page } = browser
  await page.evaluate((options) => bench.open(options), { node: node.url, address, database })
  const before = new Map<Client, number>()
  for (const other of others) {
    const conversation = await other.conversation(address)
    await untilKnown(other, address)
    before.set(other, (await historyCount(other)) + 2)
    await conversation.send('hello', { until: 'sent' })
  }
  await page.evaluate(([name, count]) => bench.untilStored(name, count), [
    database,
    others.length,
  ] as const)
  await page.evaluate(([name, addresses]) => bench.greet(name, addresses), [
    database,
    [...new Set(others.map((other) => other.address))],
  ] as const)
  for (const other of others) await untilStored(other, before.get(other) ?? 2)
  await page.evaluate((name) => bench.close(name), database)
}

const historyCount = async (client: Client): Promise<number> => {
  let total = 0
  for (const conversation of await client.conversations()) {
    total += (await conversation.history({ limit: 500 })).length
  }
  return total
}

/** Puts messages into an account's inbox, from all of these at once, while nobody reads it. */
export const fillInbox = async (
  senders: readonly Client[],
  address: string,
  count: number,
): Promise<void> => {
  const each = Math.ceil(count / senders.length)
  await Promise.all(senders.map((sender) => sendMany(sender, address, each, messageBytes)))
}
