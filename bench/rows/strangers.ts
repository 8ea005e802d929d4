/** What people whom nobody knows cost: those who write for the first time, and those who mean harm. */

import type { Client } from '../../src/facade/client.ts'
import { connectNode } from '../../src/network/connect.ts'
import type { Network } from '../../src/network/network.ts'
import { parseAddress } from '../../src/protocol/ids.ts'
import { contactTopic, messageTopic } from '../../src/protocol/topics.ts'
import { Random } from '../../tests/simulation/random.ts'
import { Stranger, strangersWallet, tricks } from '../../tests/simulation/strangers/stranger.ts'
import { must, passed } from '../../tests/support/checked.ts'
import { set } from '../../tests/support/envelope-forge/fields.ts'
import { forge, textContent } from '../../tests/support/envelope-forge/forge.ts'
import { beginLine } from '../../tests/support/envelope-forge/lines.ts'
import { makeSender } from '../../tests/support/envelope-forge/sender.ts'
import { targetsAt } from '../../tests/support/envelope-forge/targets.ts'
import type { Row } from '../figures.ts'
import { createWallet } from '../people.ts'
import { meet, type Stage } from '../stage.ts'

/** First messages of so many come within this time, and must have arrived in the other. */
const spanMs = 60_000
const arrivedMs = 90_000
/** After that the row says how many are missing. */
const patienceMs = 180_000
/** What the node lets one caller put into an inbox: at once, and a second. */
const burst = 4_000
const perSecond = 20
/** An honest message is sent so often. */
const honestEveryMs = 250

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const targetOf = async (network: Network, address: string) =>
  must((await targetsAt(network, passed(parseAddress(address))))[0])

/** As a bot has them: many accounts, each with its first message. */
export const measureFirstTimers = async (stage: Stage, count: number): Promise<Row> => {
  const { page } = stage.browser
  const network = connectNode(stage.node.url)
  const address = stage.newAccount()
  const options = { node: stage.node.url, address, database: 'bot' }
  await page.evaluate((options) => bench.open(options), options)
  const target = await targetOf(network, address)
  const random = new Random(count, 'claims')
  const envelopes: Uint8Array[] = []
  for (let nth = 0; nth < count; nth += 1) {
    const { sender, bundle } = await makeSender(createWallet())
    await network.publish([{ topic: contactTopic(sender.address), message: bundle }])
    const [claimed] = await network.claimPrekeys(random.bytes(16), [target.id])
    const line = beginLine(sender, must(claimed?.prekey).key, target)
    envelopes.push(forge(line, { payload: set(4, textContent(`first of ${nth}`)) }).message)
  }
  const all = page.evaluate((wanted) => bench.untilStored('bot', wanted), count)
  const began = performance.now()
  for (const [nth, message] of envelopes.entries()) {
    await pause(Math.max(0, began + (nth * spanMs) / count - performance.now()))
    await network.publish([{ topic: messageTopic(target.id), message }])
  }
  const isComplete = await Promise.race([all.then(() => true), pause(patienceMs).then(() => false)])
  const took = performance.now() - began
  const stored = await page.evaluate(() => bench.countMessages('bot'))
  const warned = await page.evaluate(() => bench.warnings('bot'))
  await page.evaluate(() => bench.close('bot'))
  await all.catch(() => undefined)
  return {
    what: `first messages of ${count} accounts within a minute, until all are stored`,
    unit: 'ms',
    ours: [isComplete ? took : Number.POSITIVE_INFINITY],
    limit: arrivedMs,
    note: `${stored} are stored; warnings: ${warned.join(', ') || 'none'}`,
  }
}

/** Honest messages with and without strangers who take all that a node gives one caller. */
export const measureBesideStrangers = async (
  stage: Stage,
  writer: Client,
  { rounds, share }: { readonly rounds: number; readonly share: number },
): Promise<Row> => {
  const { page } = stage.browser
  const address = stage.newAccount()
  await meet(stage, address, 'beside', [writer])
  const options = { node: stage.node.url, address, database: 'beside' }
  await page.evaluate((options) => bench.open(options), options)
  await page.evaluate(async () => bench.listen('beside', await bench.newestCursor('beside')))
  const conversation = await writer.conversation(address)
  const measure = async (name: string): Promise<readonly number[]> => {
    const times: number[] = []
    for (let nth = 0; nth < rounds; nth += 1) {
      await pause(honestEveryMs)
      const text = `${name} ${nth}`
      const start = performance.now()
      const arrived = page.evaluate((text) => bench.untilText(text), text)
      await conversation.send(text)
      await arrived
      times.push(performance.now() - start)
    }
    return times
  }
  const network = connectNode(stage.node.url)
  const target = await targetOf(network, address)
  const random = new Random(rounds, 'strangers')
  const stranger = await Stranger.register(network, random, strangersWallet(random))
  const made: Uint8Array[] = []
  const later = Math.ceil((perSecond * rounds * honestEveryMs * 2) / 1_000)
  for (let nth = 0; nth < burst * share + later; nth += 1) {
    made.push(await stranger.make(random.pick(tricks), target))
  }
  const reference = await measure('without')
  const topic = messageTopic(target.id)
  const put = (messages: readonly Uint8Array[]) =>
    network.publish(messages.map((message) => ({ topic, message })))
  const over = new AbortController()
  const besiege = async () => {
    for (let left = made.splice(0, burst * share); left.length > 0; ) await put(left.splice(0, 100))
    while (!over.signal.aborted && made.length > 0) {
      await put(made.splice(0, perSecond / 4))
      await pause(250)
    }
  }
  const siege = besiege()
  const ours = await measure('beside strangers')
  over.abort()
  await siege
  const warned = await page.evaluate(() => bench.warnings('beside'))
  await page.evaluate(() => bench.close('beside'))
  return {
    what: 'an honest message beside strangers, from `send` to the stream',
    unit: 'ms',
    ours,
    reference,
    limit: 2,
    note: `${burst * share} bad envelopes at once, then ${perSecond} a second; warnings: ${warned.join(', ')}`,
  }
}
