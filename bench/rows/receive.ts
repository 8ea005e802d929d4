/**
 * A backlog as an application meets it: the node has it, the client opens, and everything is
 * committed.
 */

import type { Client } from '../../src/facade/client.ts'
import { median, type Row } from '../figures.ts'
import type { ProbeEntry } from '../page/probe.ts'
import { messageBytes, type Stage } from '../stage.ts'
import { record } from '../trace.ts'

const commits = (log: readonly ProbeEntry[]): number =>
  log.filter(({ kind, what }) => kind === 'commit' && what === 'readwrite').length

/** Milliseconds during which a write was under way; writes never overlap. */
const writing = (log: readonly ProbeEntry[]): number => {
  const opened = new Map<number | undefined, number>()
  let total = 0
  for (const { kind, what, at, transaction } of log) {
    if (what !== 'readwrite') continue
    if (kind === 'open') opened.set(transaction, at)
    else if (kind === 'commit') total += at - (opened.get(transaction) ?? at)
  }
  return total
}

interface BacklogOptions {
  readonly address: string
  /** A closed database whose inbox is full at the node; only copies of it are opened. */
  readonly database: string
  readonly count: number
  readonly rounds: number
}

/** @throws Error if not every message arrived. */
export const measureBacklog = async (
  { browser, node }: Stage,
  { address, database, count, rounds }: BacklogOptions,
): Promise<readonly Row[]> => {
  const { page } = browser
  const url = node.url
  const receive = (probe: boolean) =>
    page.evaluate(
      async ({ url, address, database, probe }) => {
        const copy = `${database}-copy`
        await bench.copyDatabase(database, copy)
        const opened = await bench.open({ node: url, address, database: copy, probe })
        const log = probe ? await bench.takeProbe(copy) : []
        const messages = await bench.countMessages(copy)
        await bench.close(copy)
        await bench.deleteDatabase(copy)
        return { ...opened, log, messages }
      },
      { url, address, database, probe },
    )
  // The first one warms both up and shows how large the batches are.
  const first = await receive(true)
  const batch = Math.max(1, Math.round(count / commits(first.log)))
  const ours: number[] = []
  const pumping: number[] = []
  const reference: number[] = []
  for (let round = 0; round < rounds; round++) {
    reference.push(
      await page.evaluate(async (batch) => {
        await bench.openBare()
        const [ms = Number.NaN] = await bench.askBare({ kind: 'backlog', batch })
        bench.closeBare()
        return ms
      }, batch),
    )
    const { liveMs, catchingUpMs, messages } = await receive(false)
    if (messages !== first.messages || messages < count) {
      throw new Error(`${messages} messages stored, ${count} were sent`)
    }
    ours.push(liveMs)
    pumping.push(catchingUpMs)
  }
  const share = (writing(first.log) / first.liveMs) * 100
  const each = (times: readonly number[]) => ((median(times) * 1_000) / count).toFixed(0)
  return [
    {
      what: `backlog of ${count} × 1 KiB, createClient to the last commit`,
      unit: 'ms',
      ours,
      reference,
      limit: 1.4,
      note: `${each(ours)} µs a message, reference ${each(reference)}; batches of ${batch}; a write was under way ${share.toFixed(0)} % of the time`,
    },
    {
      what: 'the same, from the node’s first answer',
      unit: 'ms',
      ours: pumping,
      reference,
    },
  ]
}

export interface Profile {
  readonly row: Row
  /** Microseconds per message, by part. */
  readonly parts: Readonly<Record<string, number>>
  print(functions: boolean): void
}

/**
 * Records two more backlogs: with a page that streams, for the main thread's longest task; and
 * without, for where the worker spends its time.
 */
export const profileBacklog = async (
  { browser, node }: Stage,
  { address, database, count }: Omit<BacklogOptions, 'rounds'>,
): Promise<Profile> => {
  const { page, context } = browser
  const name = `${database}-copy`
  const receive = async (from: string, streaming: boolean) => {
    const options = { node: node.url, address, database: name, from }
    const since = await page.evaluate(
      async ([original, options]) => {
        await bench.copyDatabase(original, options.database)
        // Nothing arrives while the node is out of reach.
        await bench.openOffline(options)
        const cursor = await bench.newestCursor(options.database)
        await bench.close(options.database)
        return cursor
      },
      [database, options] as const,
    )
    let streamed = 0
    const recording = await record(context, page, !streaming, async () => {
      const all = streaming ? { ...options, since } : options
      ;({ streamed } = await page.evaluate((options) => bench.open(options), all))
    })
    await page.evaluate(async (name) => {
      await bench.close(name)
      await bench.deleteDatabase(name)
    }, name)
    return { streamed, ...recording }
  }
  const { longestTaskMs, longestTaskCpuMs, streamed } = await receive('/dist', true)
  const quiet = await receive('/readable', false)
  const micros = [...quiet.parts].map(([part, ms]) => [part, (ms * 1_000) / count] as const)
  micros.sort(([, a], [, b]) => b - a)
  const cpu = `${longestTaskCpuMs.toFixed(1)} ms of it on a processor`
  return {
    row: {
      what: 'main thread, longest task during a backlog',
      unit: 'ms',
      ours: [longestTaskMs],
      limit: 16,
      note: `${cpu}; the page streamed ${streamed} messages; by Chromium’s trace of all tasks`,
    },
    parts: Object.fromEntries(micros),
    print: (functions) => {
      console.log(
        '\nthe worker during a backlog, µs a message (sampled, readable build, no stream):',
      )
      for (const [part, value] of micros) console.log(`${value.toFixed(1).padStart(8)}  ${part}`)
      if (!functions) return
      const top = [...quiet.functions].sort(([, a], [, b]) => b - a).slice(0, 50)
      console.log('\nfunctions with the most time of their own, µs a message:')
      for (const [label, ms] of top) {
        console.log(`${((ms * 1_000) / count).toFixed(1).padStart(8)}  ${label}`)
      }
    },
  }
}

/** One message at a time while live: from the last bytes read until the commit. */
export const measureReceivingOne = async (
  { browser }: Stage,
  sender: Client,
  address: string,
  database: string,
  count: number,
): Promise<readonly Row[]> => {
  const { page } = browser
  await page.evaluate(async (name) => void (await bench.takeProbe(name)), database)
  const conversation = await sender.conversation(address)
  for (let nth = 0; nth < count; nth++) {
    await conversation.send(`${nth} `.padEnd(messageBytes, 'Fixed text, long enough. '), {
      until: 'sent',
    })
    // The receiver is done long before that; its batches must not merge.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const log = await page.evaluate((name) => bench.takeProbe(name), database)
  const calls = splitReceives(log)
  if (calls.length < count * 0.9) throw new Error(`${calls.length} of ${count} messages arrived`)
  const reference = await page.evaluate(async (count) => {
    await bench.openBare()
    const times = await bench.askBare({ kind: 'receive-one', count })
    bench.closeBare()
    return times
  }, count)
  return [
    {
      what: 'receive one, bytes read to commit',
      unit: 'ms',
      ours: calls.map(({ ms }) => ms),
      reference,
      limit: 1.15,
    },
    {
      what: 'transactions of one receive call, reads',
      unit: 'count',
      ours: calls.map(({ reads }) => reads),
      limit: 0,
    },
    {
      what: 'transactions of one receive call, writes',
      unit: 'count',
      ours: calls.map(({ writes }) => writes),
      limit: 1,
    },
  ]
}

const splitReceives = (log: readonly ProbeEntry[]) => {
  const calls: { ms: number; reads: number; writes: number }[] = []
  let read: number | undefined
  let reads = 0
  let writes = 0
  for (const entry of log) {
    if (entry.kind === 'read' && writes === 0) {
      read = entry.at
      reads = 0
    } else if (entry.kind === 'open') {
      if (entry.what === 'readwrite') writes += 1
      else reads += 1
    } else if (entry.kind === 'commit' && entry.what === 'readwrite' && read !== undefined) {
      calls.push({ ms: entry.at - read, reads, writes })
      read = undefined
      writes = 0
    }
  }
  return calls
}
