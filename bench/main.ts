/**
 * What the SDK costs in Chromium, next to libolm with a bare IndexedDB loop in the same run.
 * README.md says what is measured and how to read it.
 *
 *   npm run bench -- [--quick] [--profile] [--crowds]
 */

import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import olmPackage from '@matrix-org/olm/package.json' with { type: 'json' }
import sdkPackage from '../package.json' with { type: 'json' }
import { root } from '../scripts/files.ts'
import { printRows, type Row, writeResults } from './figures.ts'
import { createWallet, openPerson, untilLive } from './people.ts'
import { measureBigAccount } from './rows/big-account.ts'
import { growDatabases, measureGrowth } from './rows/growth.ts'
import { measureLoad, measureReopening, measureSize } from './rows/load.ts'
import { measureBacklog, measureReceivingOne, profileBacklog } from './rows/receive.ts'
import { measureSendingToKnown, measureSendingToNew } from './rows/send.ts'
import { measureBesideStrangers, measureFirstTimers } from './rows/strangers.ts'
import { fillInbox, installationCount, meet, openStage, type Stage } from './stage.ts'

const { values } = parseArgs({
  options: {
    /** A tenth of the backlog and fewer rounds: shows that it works, not what it costs. */
    quick: { type: 'boolean', default: false },
    /** Print the functions that took most time. */
    profile: { type: 'boolean', default: false },
    /** Only the rows of big accounts and of strangers. */
    crowds: { type: 'boolean', default: false },
  },
})
const backlog = values.quick ? 1_000 : 10_000
const largest = values.quick ? 2_000 : 20_000
const rounds = values.quick ? 2 : 5

const start = performance.now()
const say = (what: string): void => {
  console.error(`${((performance.now() - start) / 1_000).toFixed(0).padStart(4)} s  ${what}`)
}

/** Two rows of sending, and those of one live message. */
const measureLive = async (stage: Stage): Promise<readonly Row[]> => {
  const { page } = stage.browser
  const address = stage.newAccount()
  const [writer] = stage.senders
  if (!writer) throw new Error('nobody writes')
  const wallet = createWallet()
  const peers = []
  for (let nth = 0; nth < installationCount; nth++) {
    peers.push(await openPerson(stage.node.url, wallet, `peer-${nth}`))
  }
  for (const peer of peers) await untilLive(peer)
  const stranger = stage.newAccount()
  await meet(stage, stranger, 'stranger', [])
  const toNew = await measureSendingToNew(stage, stranger, 'stranger', wallet.address, rounds * 2)
  await meet(stage, address, 'live', [...peers, writer])
  const options = { node: stage.node.url, address, database: 'live', probe: true }
  await page.evaluate((options) => bench.open(options), options)
  const toKnown = await measureSendingToKnown(stage, 'live', wallet.address, rounds * 10)
  for (const peer of peers) await peer.close()
  const one = await measureReceivingOne(stage, writer, address, 'live', rounds * 10)
  await page.evaluate(() => bench.close('live'))
  return [...one, toKnown, toNew]
}

/** Big accounts, and people whom nobody knows. */
const measureCrowds = async (stage: Stage): Promise<readonly Row[]> => {
  const [writer] = stage.senders
  if (!writer) throw new Error('nobody writes')
  const rows: Row[] = []
  const add = (more: readonly Row[]) => {
    rows.push(...more)
    // Each takes minutes.
    if (values.crowds) printRows(more)
  }
  say('beside strangers')
  const options = { rounds: rounds * 8, share: values.quick ? 0.05 : 1 }
  add([await measureBesideStrangers(stage, writer, options)])
  say('first-time senders')
  add([await measureFirstTimers(stage, values.quick ? 50 : 500)])
  say('a big account')
  const size = values.quick
    ? { messages: 2_000, conversations: 200 }
    : { messages: 100_000, conversations: 2_000 }
  add(await measureBigAccount(stage, { ...size, rounds: Math.min(rounds, 3) }))
  return rows
}

const stage = await openStage(values.crowds ? 10 : backlog)
try {
  if (values.crowds) {
    await measureCrowds(stage)
    await stage.close()
    process.exit(0)
  }
  const rows: Row[] = []
  say('loading')
  rows.push(measureSize(), await measureLoad(stage, rounds * 4))

  say('people meet')
  const address = stage.newAccount()
  await meet(stage, address, 'backlog', stage.senders)
  rows.push(await measureReopening(stage, address, 'backlog', rounds * 4))

  say('one message, and sending')
  const live = await measureLive(stage)

  say('the inbox fills')
  await fillInbox(stage.senders, address, backlog)
  say('backlog')
  const options = { address, database: 'backlog', count: backlog }
  rows.push(...(await measureBacklog(stage, { ...options, rounds })))
  const profile = await profileBacklog(stage, options)
  rows.push(profile.row, ...live)

  say('growth')
  const grown = stage.newAccount()
  const writers = stage.senders.slice(0, 5)
  await meet(stage, grown, 'grown', writers)
  const sizes = await growDatabases(stage, grown, 'grown', largest)
  await fillInbox(writers, grown, 1_000)
  rows.push(...(await measureGrowth(stage, grown, sizes, Math.min(rounds, 3))))
  rows.push(...(await measureCrowds(stage)))

  say('done\n')
  printRows(rows)
  profile.print(values.profile)
  const about = {
    'padlock-sdk': sdkPackage.version,
    libolm: olmPackage.version,
    chromium: stage.browser.version,
    node: process.versions.node,
    cores: availableParallelism(),
    backlog,
    seconds: Math.round((performance.now() - start) / 1_000),
  }
  const name = writeResults(join(root, 'bench/results'), rows, about, profile.parts)
  console.log(`\nwritten to bench/results/${name}`)
} finally {
  await stage.close()
}
