/**
 * Whether a big account is slower than a small one: many conversations, many messages. Both have as many
 * installations as the other, and so has the account that they write to, so that only what is stored differs.
 */

import { makePrekeys } from '../../src/engine/keys/prekey-uploads.ts'
import { connectNode } from '../../src/network/connect.ts'
import { contactTopic, prekeyTopic } from '../../src/protocol/topics.ts'
import { crypto } from '../../tests/support/envelope-forge/basics.ts'
import { makeSender } from '../../tests/support/envelope-forge/sender.ts'
import { median, type Row } from '../figures.ts'
import { createWallet } from '../people.ts'
import { fillInbox, meet, messageBytes, type Stage } from '../stage.ts'

/** Of the account and of the one that it writes to. */
const installations = 30
/** One page of the list. */
const conversationsOfSmall = 50
/** What waits in the inbox. */
const waiting = 500
const sends = 5
const limit = 1.5

export interface BigAccount {
  readonly messages: number
  readonly conversations: number
  readonly rounds: number
}

/** Devices that exist and do not run: what is written to them waits at the node. */
const addInstallations = async (
  node: string,
  wallet: ReturnType<typeof createWallet>,
  count: number,
): Promise<void> => {
  const network = connectNode(node)
  for (let nth = 0; nth < count; nth += 1) {
    const { sender, bundle } = await makeSender(wallet)
    const createdNs = BigInt(Date.now()) * 1_000_000n
    const keys = { crypto, identity: sender.identity, installationId: sender.id, createdNs }
    await network.publish([
      { topic: contactTopic(sender.address), message: bundle },
      {
        topic: prekeyTopic(sender.id),
        message: makePrekeys(keys, { count: 20, kind: 'first' }).upload,
      },
    ])
  }
}

export const measureBigAccount = async (
  stage: Stage,
  { messages, conversations, rounds }: BigAccount,
): Promise<readonly Row[]> => {
  const { browser, node } = stage
  const { page } = browser
  const address = stage.newAccount()
  const writers = stage.senders.slice(0, 5)
  await meet(stage, address, 'small', writers)
  const others = Array.from({ length: conversations - writers.length }, stage.newAccount)
  await page.evaluate(
    async ({ node, address, others, few, more, bytes }) => {
      const grow = async (database: string, addresses: readonly string[]) => {
        await bench.openOffline({ node, address, database })
        await bench.addConversations(database, addresses)
        await bench.allow(database, addresses)
        await bench.close(database)
      }
      await grow('small', others.slice(0, few))
      await bench.copyDatabase('small', 'huge')
      await grow('huge', others.slice(few))
      await bench.open({ node, address, database: 'huge' })
      await bench.fill('huge', more, bytes)
      await bench.close('huge')
    },
    {
      node: node.url,
      address,
      others,
      few: conversationsOfSmall - writers.length,
      more: messages,
      bytes: messageBytes,
    },
  )
  await fillInbox(writers, address, waiting)
  const peer = createWallet()
  await addInstallations(node.url, stage.walletOf(address), installations - 1)
  await addInstallations(node.url, peer, installations)

  const measured = new Map(
    ['small', 'huge'].map((name) => [
      name,
      { open: [] as number[], live: [] as number[], list: [] as number[], send: [] as number[] },
    ]),
  )
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, into] of measured) {
      const found = await page.evaluate(
        async ({ node, address, database, peer, sends }) => {
          const copy = `${database}-copy`
          await bench.copyDatabase(database, copy)
          // The database is still compacting what was just written.
          await new Promise((resolve) => setTimeout(resolve, 1_000))
          const opened = await bench.open({ node, address, database: copy })
          const pages = await bench.listAll(copy)
          // The first one makes the sessions.
          await bench.send(copy, peer, 'hello', 1)
          const start = performance.now()
          await bench.send(copy, peer, 'hello', sends)
          const sendMs = (performance.now() - start) / sends
          await bench.close(copy)
          await bench.deleteDatabase(copy)
          return { ...opened, pages, sendMs }
        },
        { node: node.url, address, database: name, peer: peer.address, sends },
      )
      into.open.push(found.createdMs)
      into.live.push(found.liveMs)
      into.list.push(median(found.pages))
      into.send.push(found.sendMs)
    }
  }
  const small = measured.get('small')
  const huge = measured.get('huge')
  if (!small || !huge) return []
  const size = `${messages} messages, ${conversations} conversations`
  const row = (what: string, key: keyof typeof small): Row => ({
    what: `${what}, ${size}`,
    unit: 'ms',
    ours: huge[key],
    reference: small[key],
    limit,
  })
  return [
    row('open', 'open'),
    row(`live, ${waiting} waited`, 'live'),
    row('a page of 50 conversations', 'list'),
    row(`send to ${2 * installations - 1} installations`, 'send'),
  ]
}
