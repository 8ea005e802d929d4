/**
 * One recorded run: how long the main thread's tasks were, and where the worker spent its processor
 * time, from Chromium's own trace and its sampling profiler.
 */

import type { BrowserContext, Page } from '@playwright/test'

export interface Recording {
  /** Milliseconds of the main thread's longest task. */
  readonly longestTaskMs: number
  /** The processor time of that task: for the rest, other processes kept it waiting. */
  readonly longestTaskCpuMs: number
  /** Self time in the worker, milliseconds by part. */
  readonly parts: ReadonlyMap<string, number>
  /** The functions that took most time, milliseconds. */
  readonly functions: ReadonlyMap<string, number>
}

interface TraceEvent {
  readonly name: string
  readonly ph: string
  readonly ts: number
  readonly pid: number
  readonly tid: number
  readonly id?: string
  readonly dur?: number
  readonly tdur?: number
  readonly args?: {
    readonly name?: string
    readonly data?: {
      readonly cpuProfile?: {
        readonly nodes?: readonly ProfileNode[]
        readonly samples?: readonly number[]
      }
      readonly timeDeltas?: readonly number[]
    }
  }
}

interface ProfileNode {
  readonly id: number
  readonly parent?: number
  readonly callFrame: {
    readonly functionName: string
    readonly url?: string
    readonly lineNumber?: number
  }
}

const profiler = 'disabled-by-default-v8.cpu_profiler'

/** Records what `run` does in the page; sampling adds its own tasks, so it is optional. */
export const record = async (
  context: BrowserContext,
  page: Page,
  sampled: boolean,
  run: () => Promise<void>,
): Promise<Recording> => {
  const session = await context.newCDPSession(page)
  await session.send('Tracing.start', {
    transferMode: 'ReturnAsStream',
    traceConfig: {
      includedCategories: sampled ? ['toplevel', profiler] : ['toplevel', 'ipc'],
      recordMode: 'recordAsMuchAsPossible',
    },
  })
  await run()
  const complete = new Promise<string>((resolve, reject) => {
    session.once('Tracing.tracingComplete', ({ stream }) =>
      stream === undefined ? reject(new Error('no trace')) : resolve(stream),
    )
  })
  await session.send('Tracing.end')
  const handle = await complete
  const chunks: string[] = []
  for (;;) {
    const { data, eof } = await session.send('IO.read', { handle, size: 1_000_000 })
    chunks.push(data)
    if (eof) break
  }
  await session.send('IO.close', { handle })
  await session.detach()
  const parsed: { traceEvents: readonly TraceEvent[] } = JSON.parse(chunks.join(''))
  return analyse(parsed.traceEvents)
}

const analyse = (events: readonly TraceEvent[]): Recording => {
  const threads = new Map<string, string>()
  for (const event of events) {
    if (event.ph === 'M' && event.name === 'thread_name') {
      threads.set(`${event.pid} ${event.tid}`, event.args?.name ?? '')
    }
  }
  const threadOf = ({ pid, tid }: TraceEvent): string => threads.get(`${pid} ${tid}`) ?? ''
  const main = events.filter((event) => event.ph === 'X' && threadOf(event) === 'CrRendererMain')
  // The bench's own calls into the page.
  const foreign = main.filter(({ args }) => JSON.stringify(args ?? {}).includes('DevToolsSession'))
  let longest = 0
  let cpu = 0
  for (const event of main) {
    if (foreign.some((inner) => isWithin(inner, event))) continue
    if (!/RunTask/.test(event.name) || (event.dur ?? 0) / 1_000 <= longest) continue
    longest = (event.dur ?? 0) / 1_000
    cpu = (event.tdur ?? 0) / 1_000
  }
  return { longestTaskMs: longest, longestTaskCpuMs: cpu, ...analyseWorker(events, threadOf) }
}

const isWithin = (inner: TraceEvent, outer: TraceEvent): boolean =>
  inner.pid === outer.pid && inner.ts >= outer.ts && inner.ts <= outer.ts + (outer.dur ?? 0)

/** Samples of every profiled worker thread; the chunks of one profile share its id. */
const analyseWorker = (
  events: readonly TraceEvent[],
  threadOf: (event: TraceEvent) => string,
): Pick<Recording, 'parts' | 'functions'> => {
  const workers = new Set(
    events
      .filter((event) => event.name === 'Profile' && /Worker/.test(threadOf(event)))
      .map(({ pid, id }) => `${pid} ${id}`),
  )
  const parts = new Map<string, number>()
  const functions = new Map<string, number>()
  const nodes = new Map<string, ProfileNode>()
  for (const { name, pid, id, args } of events) {
    const profile = `${pid} ${id}`
    if (name !== 'ProfileChunk' || !workers.has(profile)) continue
    const { cpuProfile, timeDeltas } = args?.data ?? {}
    for (const node of cpuProfile?.nodes ?? []) nodes.set(`${profile} ${node.id}`, node)
    for (const [at, sample] of (cpuProfile?.samples ?? []).entries()) {
      const ms = (timeDeltas?.[at] ?? 0) / 1_000
      const chain: ProfileNode[] = []
      for (let node = nodes.get(`${profile} ${sample}`); node; ) {
        chain.push(node)
        node = node.parent === undefined ? undefined : nodes.get(`${profile} ${node.parent}`)
      }
      const names = chain.map(({ callFrame }) => callFrame.functionName)
      const part = partOf(names, chain[0]?.callFrame.url ?? '')
      parts.set(part, (parts.get(part) ?? 0) + ms)
      const stack = chain.slice(0, 4).map(({ callFrame }) => nameOf(callFrame))
      const label = `${part}: ${stack.join(' < ')}`
      functions.set(label, (functions.get(label) ?? 0) + ms)
    }
  }
  return { parts, functions }
}

const nameOf = ({ functionName, lineNumber }: ProfileNode['callFrame']): string =>
  functionName === '' ? `line ${lineNumber ?? 0}` : functionName

/** The purpose of a sample: the first line whose pattern matches a name on the stack. */
const purposes: readonly (readonly [string, RegExp])[] = [
  ['for the page: streams and calls', /^(nextMessages|describeMessage|next|serve|deliver|post)$/],
  ['WebCrypto: X25519', /^(agree|agreeOne)$/],
  ['WebCrypto: Ed25519', /^(verifyOne)$/],
  ['digests and keyed hashes', /^(digest|keyedHash|#hash)$/],
  ['Olm decryption', /^(decrypt|#decryptWith|inspectPrekeyMessages)$/],
  ['opening seals', /^(open|#open|openSealed)$/],
  ['verifying signatures', /^(verify|#authenticate)$/],
  ['vault', /^(vaultSeal|vaultOpen)$/],
  [
    'records: encode, key, seal',
    /^(toMessageRecord|encode|put|add|#seal|#key|encodeSigningBytes|writes)$/,
  ],
  ['IndexedDB', /^(#advanceOnce|advance|success|complete|transaction|objectStore|done)$/],
  ['payload and content checks', /^(#check|checkPayload|parsePayload|checkMetadata)$/],
  [
    'network: frames and protobuf',
    /^(fromBinary|read|pull|transform|parseInboxMessage|decodeMessage|watchSilence|subscribe|toFrame|stream)$/,
  ],
]

/** Names the work by the innermost function with a known purpose; marks wasm separately. */
const partOf = (names: readonly string[], url: string): string => {
  const [self = ''] = names
  if (self === '(idle)') return 'idle: waiting for the database, the network, WebCrypto'
  if (self === '(garbage collector)') return 'garbage collection'
  if (self === '(program)') return 'browser, outside JavaScript'
  const isWasm = url.startsWith('wasm:') || self.startsWith('wasm-')
  const plain = names.map((name) => name.replace(/^(.*\.)/, '').replace(/(\D)\d+$/, '$1'))
  for (const name of plain) {
    const found = purposes.find(([, pattern]) => pattern.test(name))
    if (found) return `${found[0]}${isWasm ? ', wasm' : ''}`
  }
  return isWasm ? 'other, wasm' : 'JavaScript, rest'
}
