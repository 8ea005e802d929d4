/**
 * V8's sampling profiler on every thread of this process: where its time goes, by function and by what
 * the function belongs to.
 */
import inspector from 'node:inspector'

/** Milliseconds of one thread. */
export interface ThreadProfile {
  readonly thread: 'serving' | 'database'
  /** By package or own file, longest first. */
  readonly owners: readonly (readonly [string, number])[]
  /** By function, with our caller, longest first. */
  readonly functions: readonly (readonly [string, number])[]
}

const samplingMicroseconds = 200

/** @returns a function that ends it. */
export async function startProfile(): Promise<() => Promise<readonly ThreadProfile[]>> {
  const session = new inspector.Session()
  session.connect()
  const workers: string[] = []
  const replies = new Map<number, (profile: inspector.Profiler.Profile) => void>()
  session.on('NodeWorker.attachedToWorker', ({ params }) => workers.push(params.sessionId))
  session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
    const message: { id?: number; result?: { profile?: inspector.Profiler.Profile } } = JSON.parse(
      params.message,
    )
    const profile = message.result?.profile
    if (message.id !== undefined && profile) replies.get(message.id)?.(profile)
  })
  const post = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      session.post(method, params, (error, result) => (error ? reject(error) : resolve(result)))
    })
  let nextId = 1
  const postToWorker = (sessionId: string, method: string, params: object = {}): number => {
    const id = nextId
    nextId += 1
    const message = JSON.stringify({ id, method, params })
    void post('NodeWorker.sendMessageToWorker', { sessionId, message })
    return id
  }
  await post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  await post('Profiler.enable')
  await post('Profiler.setSamplingInterval', { interval: samplingMicroseconds })
  for (const worker of workers) {
    postToWorker(worker, 'Profiler.enable')
    postToWorker(worker, 'Profiler.setSamplingInterval', { interval: samplingMicroseconds })
    postToWorker(worker, 'Profiler.start')
  }
  await post('Profiler.start')

  return async () => {
    const ofWorkers = workers.map(
      (worker) =>
        new Promise<inspector.Profiler.Profile>((resolve) => {
          replies.set(postToWorker(worker, 'Profiler.stop'), resolve)
        }),
    )
    const own = (await post('Profiler.stop')) as { profile: inspector.Profiler.Profile }
    const profiles = [summarize('serving', own.profile)]
    for (const profile of await Promise.all(ofWorkers))
      profiles.push(summarize('database', profile))
    session.disconnect()
    return profiles
  }
}

function summarize(
  thread: ThreadProfile['thread'],
  { nodes, samples = [], timeDeltas = [] }: inspector.Profiler.Profile,
): ThreadProfile {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map((one) => [one, id])),
  )
  const chainOf = (id: number): readonly inspector.Runtime.CallFrame[] => {
    const chain: inspector.Runtime.CallFrame[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const frame = frames.get(at)
      if (frame !== undefined && frame.functionName !== '(root)') chain.push(frame)
    }
    return chain
  }
  const owners = new Map<string, number>()
  const functions = new Map<string, number>()
  const add = (map: Map<string, number>, key: string, ms: number): void => {
    map.set(key, (map.get(key) ?? 0) + ms)
  }
  for (const [at, sample] of samples.entries()) {
    const ms = (timeDeltas[at] ?? 0) / 1_000
    const chain = chainOf(sample)
    // Starting and ending the profile itself.
    if (chain.some(({ url }) => url === 'node:inspector')) continue
    const [self] = chain
    if (self === undefined) continue
    add(owners, ownerOf(chain), ms)
    const ours = chain.filter(({ url }) => isOurs(url)).slice(0, 2)
    const callers = ours.filter((frame) => frame !== self).map(nameOf)
    add(functions, [nameOf(self), ...callers].join(' < '), ms)
  }
  const longestFirst = (map: Map<string, number>) => [...map].sort(([, a], [, b]) => b - a)
  return { thread, owners: longestFirst(owners), functions: longestFirst(functions) }
}

const isOurs = (url: string): boolean => url.startsWith('file:') && !url.includes('node_modules')

const nameOf = ({ functionName, url, lineNumber }: inspector.Runtime.CallFrame): string => {
  const file = isOurs(url) ? ` ${url.replace(/^.*[/](?=[^/]+$)/, '')}:${lineNumber + 1}` : ''
  return `${functionName || '(anonymous)'}${file}`
}

/** The owner of the work: native functions count for their callers. */
function ownerOf(chain: readonly inspector.Runtime.CallFrame[]): string {
  const frame = chain.find(({ url }) => url !== '') ?? chain[0]
  if (frame === undefined) return 'unknown'
  if (frame.url === '') return frame.functionName
  const found = /node_modules[/]((?:@[^/]+[/])?[^/]+)/.exec(frame.url)?.[1]
  if (found !== undefined) return found
  if (frame.url.startsWith('node:')) return frame.url.replace(/^node:internal[/]/, 'node:')
  return frame.url.replace(/^.*[/](?=[^/]+[/][^/]+$)/, '')
}
