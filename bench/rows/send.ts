/**
 * Sending to ten installations: in the worker, from the call's arrival until the request to publish
 * leaves. By then the message, the ratchets and the envelopes are committed. The node's time for
 * handing out prekeys is subtracted.
 */

import type { Row } from '../figures.ts'
import type { ProbeEntry } from '../page/probe.ts'
import { installationCount, messageBytes, type Stage } from '../stage.ts'

const text = 'x '.padEnd(messageBytes, 'Fixed text, long enough. ')

/** The time of each call of `send`, minus waits for the node. */
const splitSends = (log: readonly ProbeEntry[]): number[] => {
  const times: number[] = []
  let start: number | undefined
  let waitingSince: number | undefined
  let answered = 0
  let waited = 0
  for (const { kind, what, at } of log) {
    if (kind === 'call' && what === 'send') {
      start = at
      waited = 0
    } else if (start === undefined) continue
    else if (kind === 'fetch' && what === 'Publish') {
      times.push(at - start - waited)
      start = undefined
    } else if (kind === 'fetch') waitingSince = at
    else if (kind === 'read' && waitingSince !== undefined) answered = at
    else if (kind === 'open' && waitingSince !== undefined && answered > waitingSince) {
      waited += answered - waitingSince
      waitingSince = undefined
    }
  }
  return times
}

const measureReference = (
  { browser }: Stage,
  kind: 'send-known' | 'send-new',
  count: number,
): Promise<readonly number[]> =>
  browser.page.evaluate(
    async ([kind, count, text]) => {
      await bench.openBare()
      const times = await bench.askBare({ kind, count, text })
      bench.closeBare()
      return times
    },
    [kind, count, text] as const,
  )

/** `database` is open with a probe and has sessions with all installations of the peer. */
export const measureSendingToKnown = async (
  stage: Stage,
  database: string,
  peer: string,
  count: number,
): Promise<Row> => {
  const { page } = stage.browser
  const log = await page.evaluate(
    async ([database, peer, text, count]) => {
      await bench.takeProbe(database)
      await bench.send(database, peer, text, count)
      return bench.takeProbe(database)
    },
    [database, peer, text, count] as const,
  )
  return {
    what: `send to ${installationCount} known installations, until the request leaves`,
    unit: 'ms',
    ours: splitSends(log),
    reference: await measureReference(stage, 'send-known', count),
    limit: 2,
  }
}

/** `database` is closed, knows the peer's installations and has no session with them. */
export const measureSendingToNew = async (
  stage: Stage,
  address: string,
  database: string,
  peer: string,
  rounds: number,
): Promise<Row> => {
  const ours: number[] = []
  const reference: number[] = []
  await stage.browser.page.evaluate(
    async ({ peer, ...options }) => {
      // From the next opening on, the peer's topics are among those subscribed to.
      await bench.openOffline(options)
      await bench.addConversations(options.database, [peer])
      await bench.close(options.database)
    },
    { node: stage.node.url, address, database, peer },
  )
  for (let round = 0; round < rounds; round++) {
    // One per Worker: ours also runs in a new one, before the wasm is optimised.
    reference.push(...(await measureReference(stage, 'send-new', 1)))
    const log = await stage.browser.page.evaluate(
      async ({ node, address, database, peer, text }) => {
        const copy = `${database}-copy`
        await bench.copyDatabase(database, copy)
        await bench.open({ node, address, database: copy, probe: true })
        await bench.takeProbe(copy)
        await bench.send(copy, peer, text, 1)
        const log = await bench.takeProbe(copy)
        await bench.close(copy)
        await bench.deleteDatabase(copy)
        return log
      },
      { node: stage.node.url, address, database, peer, text },
    )
    ours.push(...splitSends(log))
  }
  return {
    what: `send to ${installationCount} new installations, until the request leaves`,
    unit: 'ms',
    ours,
    reference,
    limit: 1.5,
    note: 'without the wait for the node’s prekeys; one fresh copy of the database a message',
  }
}
