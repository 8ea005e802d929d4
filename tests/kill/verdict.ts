/**
 * What must hold when a kill test is over, checked on the nodes once nothing is under way any more.
 */
import { describe, type Ledger, type Sent } from './ledger.ts'
import { Reader, readPage } from './readers.ts'
import type { World } from './world.ts'

/** Reads every topic that anything was ever sent to; how long each is. */
export async function readEverything(world: World): Promise<ReadonlyMap<string, bigint>> {
  const { caller } = world.newClient()
  const reader = new Reader(world, 'final reader')
  const topics = [...new Set([...world.ledger.sent.values()].map(({ topic }) => topic))].filter(
    (topic) => /^(?:contact|revoked|message)-/.test(topic),
  )
  for (let at = 0; at < topics.length; at += 100) {
    const some = topics.slice(at, at + 100)
    let hasMore = true
    while (hasMore) hasMore = await readPage(world, caller, reader, some)
  }
  return reader.positions
}

/** Compares the log with what is stored, which `readEverything` has put into it. */
export function judgeLedger(ledger: Ledger, finals: ReadonlyMap<string, bigint>): void {
  const requests = new Map<number, { stored: Sent[]; missing: Sent[] }>()
  for (const sent of ledger.sent.values()) {
    const request = requests.get(sent.request) ?? { stored: [], missing: [] }
    requests.set(sent.request, request)
    const place = placeOf(ledger, sent)
    ;(place === undefined ? request.missing : request.stored).push(sent)
    if (sent.state === 'acknowledged' && place === undefined) {
      ledger.report(`acknowledged and not stored: ${describe(sent)}`)
    }
    if (sent.state === 'refused' && place !== undefined) {
      ledger.report(`refused and stored: ${describe(sent)}`)
    }
  }
  for (const [id, { stored, missing }] of requests) {
    if (stored.length > 0 && missing.length > 0) {
      ledger.report(`of request ${id} only ${stored.length} are stored, ${missing.length} are not`)
    }
    const times = new Set(stored.map((sent) => placeOf(ledger, sent)?.nodeNs))
    if (times.size > 1) ledger.report(`request ${id} has ${times.size} node times`)
  }
  for (const [topic, column] of ledger.seen) judgeTopic(ledger, topic, column, finals)
}

interface Stored {
  readonly sequence: bigint
  readonly nodeNs: bigint
}

/** Where each envelope lies, by topic and digest; made once. */
const places = new WeakMap<Ledger, Map<string, Stored>>()

function placeOf(ledger: Ledger, { topic, digest }: Sent): Stored | undefined {
  let index = places.get(ledger)
  if (index === undefined) {
    index = new Map()
    places.set(ledger, index)
    for (const [name, column] of ledger.seen) {
      for (const [at, value] of column.entries()) {
        const [found = '', time = '0'] = (value ?? '').split(' at ')
        const key = `${name} ${found}`
        if (index.has(key)) ledger.report(`stored twice: ${key}`)
        index.set(key, { sequence: BigInt(at + 1), nodeNs: BigInt(time) })
      }
    }
  }
  return index.get(`${topic} ${digest}`)
}

/** One topic: no gap, nothing that nobody sent, times that rise, and first things first. */
function judgeTopic(
  ledger: Ledger,
  topic: string,
  column: readonly (string | undefined)[],
  finals: ReadonlyMap<string, bigint>,
): void {
  // Uploads are not served, so their receipts have to be enough.
  const length = topic.startsWith('prekey-') ? BigInt(column.length) : finals.get(topic)
  if (length !== BigInt(column.length)) {
    ledger.report(`${topic} has ${length} envelopes, and somebody saw ${column.length}`)
  }
  let before: { readonly sent: Sent; readonly nodeNs: bigint } | undefined
  let latestSentMs = 0
  for (const [at, value] of column.entries()) {
    const place = `${topic} ${at + 1}`
    const [digest, time = '0'] = value?.split(' at ') ?? []
    if (digest === undefined) {
      ledger.report(`${place} is a gap`)
      continue
    }
    const nodeNs = BigInt(time)
    const sent = ledger.sent.get(`${topic} ${digest}`)
    if (sent === undefined) {
      ledger.report(`${place} was sent by nobody`)
      continue
    }
    if (before !== undefined) {
      const isSameRequest = before.sent.request === sent.request
      if (nodeNs < before.nodeNs || (nodeNs === before.nodeNs && !isSameRequest)) {
        ledger.report(`${place} is of ${nodeNs}, the one before it of ${before.nodeNs}`)
      }
    }
    before = { sent, nodeNs }
    // What was acknowledged before another was sent lies before it.
    if (sent.answeredMs < latestSentMs) {
      ledger.report(`${place} was acknowledged before one that lies before it was sent`)
    }
    latestSentMs = Math.max(latestSentMs, sent.sentMs)
  }
}

/** The stock of one-time keys is what was uploaded less what was claimed, for every member. */
export async function judgeStocks(world: World): Promise<void> {
  const { caller } = world.newClient()
  const expected = new Map(
    world.members.map(({ installation, stock }) => [installation.id as string, stock]),
  )
  const topics = [...expected.keys()].map((id) => `prekey-${id}`)
  const stop = new AbortController()
  const answer = await caller.call(async (client) => {
    const cursors = topics.map((topic) => ({ topic, afterSequence: 0n }))
    const request = { topics: cursors, proofs: world.proofs(topics) }
    const notices = new Map<string, { left: number; newest: bigint }>()
    for await (const { event } of client.subscribe(request, { signal: stop.signal })) {
      if (event.case === 'caughtUp') break
      if (event.case !== 'prekeyStock') continue
      const { installationId, oneTimeLeft, newestCreatedNs } = event.value
      notices.set(installationId, { left: oneTimeLeft, newest: newestCreatedNs })
    }
    return notices
  })
  stop.abort()
  if (answer.kind !== 'answered') {
    world.ledger.report('the stocks were not told')
    return
  }
  for (const [id, stock] of expected) {
    const notice = answer.value.get(id)
    const isRight = notice?.left === stock.left && notice.newest === stock.newestCreatedNs
    if (isRight) continue
    world.ledger.report(
      `${id} has ${notice?.left} one-time keys of ${notice?.newest}, not ${stock.left} of ${stock.newestCreatedNs}`,
    )
  }
  world.ledger.count('stocks compared', expected.size)
}
