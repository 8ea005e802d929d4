/**
 * A kill test from start to end: clients at full rate, nodes killed and started again at points that
 * the seed chooses, then a verdict from the clients' own logs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../support/random.ts'
import type { Random } from './caller.ts'
import { claimPrekeys } from './claimers.ts'
import { Ledger } from './ledger.ts'
import { NodeGroup } from './node-group.ts'
import { publishMail } from './publishers.ts'
import { queryTopics, Subscriber } from './readers.ts'
import { registerAccounts, topUpPrekeys } from './registrars.ts'
import { judgeLedger, judgeStocks, readEverything } from './verdict.ts'
import { World } from './world.ts'

export interface KillOptions {
  readonly seed: number
  /** How often a node is killed. */
  readonly kills: number
  /** How many node processes share the store. */
  readonly nodes: number
  /** The arguments of each node that say where the store is. */
  readonly args: (index: number) => readonly string[]
  /** Another entry than the node's sources. */
  readonly main?: string
  /** Something fails and works again, after every so many kills. */
  readonly outage?: Outage
  /** Hears how far it is. */
  readonly log?: (line: string) => void
}

export interface Outage {
  readonly every: number
  /** @returns what it was, for the report. */
  readonly cause: (random: Random, nodes: NodeGroup) => Promise<string>
}

export interface KillReport {
  /** Sentences; empty when all went well. */
  readonly problems: readonly string[]
  readonly counts: ReadonlyMap<string, number>
}

const publishers = 6
const claimers = 2
/** Subscribers by how often they leave: two that stay, and two that catch up all the time. */
const restlessness = [0.003, 0.003, 0.1, 0.3]
const firstMembers = 16
/** A node that answers nothing for so long after a start does not work any more. */
const standstillMs = 20_000
const liveMs = 10_000

/** Leaves no process behind, whatever happens. */
export async function runKillTest(options: KillOptions): Promise<KillReport> {
  const { seed, kills, args, main } = options
  const ledger = new Ledger()
  const group = { size: options.nodes, args, ...(main === undefined ? {} : { main }) }
  const nodes = await NodeGroup.start(group, ledger)
  const readers: Subscriber[] = []
  try {
    const world = new World(seed, nodes, ledger)
    await prepare(world)
    const running = restlessness.map((chance) => {
      const subscriber = new Subscriber(world, chance)
      readers.push(subscriber)
      return subscriber.run()
    })
    const clients = [
      ...Array.from({ length: publishers }, () => publishMail(world)),
      ...Array.from({ length: claimers }, () => claimPrekeys(world)),
      ...[0, 1].map((parity) => topUpPrekeys(world, (index) => index % 2 === parity)),
      registerAccounts(world, 20 + 2 * kills),
      queryTopics(world),
      queryTopics(world),
    ]
    await Promise.race([
      killAndStart(world, options),
      // A client never ends before it is told to: if one does, it failed.
      Promise.all(clients).then(() => world.stopping || ledger.report('the clients ended')),
    ])
    world.stopping = true
    await Promise.all(clients)
    await judge(world, readers)
    for (const subscriber of readers) subscriber.cut(true)
    await Promise.all(running)
    return { problems: ledger.problems, counts: ledger.counts }
  } finally {
    for (const subscriber of readers) subscriber.cut(true)
    await nodes.close()
  }
}

/** The first members, which everything else works on. */
async function prepare(world: World): Promise<void> {
  const { caller, name } = world.newClient()
  const info = await caller.call((client, call) => client.getInfo({}, call))
  if (info.kind !== 'answered') throw new Error('the node does not say what it is')
  world.nodeId = info.value.nodeId
  for (let count = 0; count < firstMembers; count += 1) {
    world.members.push(await world.register(caller, world.newInstallation(`${name} ${count}`)))
  }
}

async function killAndStart(world: World, options: KillOptions): Promise<void> {
  const { nodes, ledger } = world
  const { kills, outage, log = () => {} } = options
  const random = seededRandom(world.seed)
  for (let kill = 1; kill <= kills; kill += 1) {
    const index = random.below(options.nodes)
    const requests = 1 + random.below(100)
    if (random.chance(0.5)) {
      // With an answer just read: what it acknowledges has to be in the file by then.
      let killed: Promise<void> | undefined
      await expectProgress(world, requests, () => {
        killed = nodes.kill(index)
      })
      await (killed ?? nodes.kill(index))
    } else {
      // Anywhere in the work.
      await expectProgress(world, requests)
      await sleep(random.below(20))
      await nodes.kill(index)
    }
    ledger.count('kills')
    if (options.nodes > 1) await expectProgress(world, 1 + random.below(50))
    // Killed while it starts, too: before, in and after whatever it does to the store.
    while (random.chance(0.15)) {
      nodes.launch(index)
      await sleep(random.below(900))
      await nodes.kill(index)
      ledger.count('kills while starting')
    }
    await nodes.start(index)
    if (outage !== undefined && kill % outage.every === 0) {
      await expectProgress(world, 1 + random.below(50))
      ledger.count(await outage.cause(random, nodes))
      // By itself, and not only once the next node starts.
      await expectProgress(world, 50)
    }
    if (kill % 10 === 0) log(`${kill} kills, ${ledger.counts.get('acknowledged envelopes')} stored`)
    if (ledger.problems.length > 0) return
  }
  await expectProgress(world, 100)
}

async function expectProgress(world: World, requests: number, then?: () => void): Promise<void> {
  if (await world.ledger.progress(requests, standstillMs, then)) return
  world.ledger.report(`not ${requests} requests were acknowledged within ${standstillMs} ms`)
}

/** Nothing is under way any more but the subscriptions. */
async function judge(world: World, readers: readonly Subscriber[]): Promise<void> {
  const { ledger, nodes } = world
  const finals = await readEverything(world)
  for (const subscriber of readers) {
    for (const place of await subscriber.reached(finals, liveMs)) {
      ledger.report(`a live stream left its reader on ${place}`)
    }
  }
  // What is in files now, and not only in some process.
  for (const index of nodes.urls.keys()) await nodes.stop(index)
  for (const index of nodes.urls.keys()) await nodes.start(index)
  const again = await readEverything(world)
  judgeLedger(ledger, again)
  for (const subscriber of readers) {
    await subscriber.reopened()
    for (const place of subscriber.reader.behind(again)) {
      ledger.report(`a catch-up left its reader on ${place}`)
    }
  }
  await judgeStocks(world)
}
