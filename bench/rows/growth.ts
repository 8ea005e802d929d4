/**
 * Whether anything slows down as more is stored: each figure next to the same on a small database.
 */

import { median, type Row } from '../figures.ts'
import { messageBytes, type Stage } from '../stage.ts'

export interface Size {
  readonly database: string
  readonly messages: number
  readonly conversations: number
}

interface Measured {
  readonly open: number[]
  readonly receive: number[]
  readonly conversations: number[]
  readonly history: number[]
}

/** Grown copies of a closed database that has 10 messages in 5 conversations. */
export const growDatabases = async (
  { browser, node, newAccount }: Stage,
  address: string,
  database: string,
  largest: number,
): Promise<readonly Size[]> => {
  const strangers = Array.from({ length: 195 }, newAccount)
  await browser.page.evaluate(
    async ({ database, strangers, largest, bytes, ...options }) => {
      const grow = async (from: string, to: string, run: () => Promise<void>, offline = false) => {
        await bench.copyDatabase(from, to)
        await bench[offline ? 'openOffline' : 'open']({ ...options, database: to })
        await run()
        await bench.close(to)
      }
      const [middle, big, wide] = ['middle', 'big', 'wide'].map((name) => `${database}-${name}`)
      if (!middle || !big || !wide) return
      await grow(database, middle, () => bench.fill(middle, 990, bytes))
      await grow(middle, big, () => bench.fill(big, largest - 1_000, bytes))
      await grow(database, wide, () => bench.addConversations(wide, strangers), true)
    },
    { node: node.url, address, database, strangers, largest, bytes: messageBytes },
  )
  return [
    { database, messages: 10, conversations: 5 },
    { database: `${database}-middle`, messages: 1_000, conversations: 6 },
    { database: `${database}-big`, messages: largest, conversations: 6 },
    { database: `${database}-wide`, messages: 10, conversations: 200 },
  ]
}

/** The inbox of the account must be full at the node; only copies are opened. */
export const measureGrowth = async (
  { browser, node }: Stage,
  address: string,
  sizes: readonly Size[],
  rounds: number,
): Promise<readonly Row[]> => {
  const measured = new Map<Size, Measured>()
  for (const size of sizes) {
    measured.set(size, { open: [], receive: [], conversations: [], history: [] })
  }
  for (let round = 0; round < rounds; round++) {
    for (const [size, into] of measured) {
      const found = await browser.page.evaluate(
        async ({ node, address, database }) => {
          const copy = `${database}-copy`
          await bench.copyDatabase(database, copy)
          // The database is still compacting what was just written.
          await new Promise((resolve) => setTimeout(resolve, 1_000))
          const opened = await bench.open({ node, address, database: copy })
          const listed = await bench.list(copy)
          await bench.close(copy)
          await bench.deleteDatabase(copy)
          return { ...opened, ...listed }
        },
        { node: node.url, address, database: size.database },
      )
      if (found.count !== size.conversations) throw new Error(`${found.count} conversations`)
      into.open.push(found.createdMs)
      into.receive.push(found.catchingUpMs)
      into.conversations.push(found.conversationsMs)
      into.history.push(found.historyMs)
    }
  }
  const [smallest, ...others] = [...measured]
  if (!smallest) return []
  const small = smallest[1]
  return others.flatMap(([{ messages, conversations }, larger]): Row[] => {
    const name = `${messages} messages, ${conversations} conversations`
    const row = (what: string, key: keyof Measured): Row => ({
      what: `${what}, ${name}`,
      unit: 'ms',
      ours: larger[key],
      reference: small[key],
    })
    const rows = [row('open', 'open'), row('receive 1,000', 'receive'), row('newest 50', 'history')]
    const listing = row('list conversations', 'conversations')
    const each = (median(larger.conversations) * 1_000) / conversations
    return [...rows, { ...listing, note: `${each.toFixed(0)} µs a conversation` }]
  })
}
