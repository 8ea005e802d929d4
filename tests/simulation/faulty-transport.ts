/** What lies between a client and the node: loses, delays, repeats, refuses and cuts, as the weather is. */
import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type Transport } from '@connectrpc/connect'
import { refusal } from '../../node/src/refusal.ts'
import type { VirtualTime } from './virtual-time.ts'
import type { Break, Fate, Weather } from './weather.ts'

/** @param node the node as it is now, or undefined while it is down. */
export const faultyTransport = (
  node: () => Transport | undefined,
  weather: Weather,
  time: VirtualTime,
): Transport => {
  const reach = (): Transport => {
    const transport = node()
    if (!transport) throw unreachable()
    return transport
  }
  /** Before the node. Never returns where nothing ever comes back. */
  const goThere = async (fate: Fate): Promise<void> => {
    await time.sleep(weather.latencyMs())
    if (fate === 'request lost') await never
    if (fate === 'connection refused') throw unreachable()
    if (fate === 'rate limited') {
      throw refusal('rate_limited', { retryAfterMs: weather.retryAfterMs() })
    }
    if (fate === 'unavailable') throw refusal('unavailable')
    if (fate === 'bad gateway') throw new ConnectError('bad gateway', Code.Unavailable)
    if (fate === 'very late') await time.sleep(weather.veryLateMs())
  }
  const comeBack = async (fate: Fate): Promise<void> => {
    await time.sleep(weather.latencyMs())
    if (fate === 'answer lost') await never
    if (fate === 'answer cut') throw unreachable()
  }
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
  ) => {
    const fate = weather.fate(method.name)
    await goThere(fate)
    if (fate === 'repeated') {
      time.after(weather.veryLateMs(), () => {
        node()
          ?.unary(method, undefined, undefined, undefined, input)
          .catch(() => undefined)
      })
    }
    const answer = await reach().unary(method, undefined, undefined, undefined, input)
    await comeBack(fate)
    return answer
  }
  return {
    // What was sent is under way whether or not the client still waits for it.
    unary: (method, signal, _timeoutMs, _header, input) =>
      unlessAborted(call(method, input), signal),
    stream: async (method, signal, _timeoutMs, _header, input) => {
      const fate = weather.fate(method.name)
      await unlessAborted(goThere(fate), signal)
      const end = new AbortController()
      const response = await reach().stream(method, end.signal, undefined, undefined, input)
      return {
        ...response,
        message: frames(response.message, { end, signal, weather, time }),
      }
    },
  }
}

const never = new Promise<never>(() => undefined)

const unreachable = () => new ConnectError('cannot be reached', Code.Unavailable)
const aborted = () => new ConnectError('aborted', Code.Canceled)

const unlessAborted = <T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  new Promise((resolve, reject) => {
    const abort = () => reject(aborted())
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal?.removeEventListener('abort', abort))
  })

interface Line {
  /** Tells the node that nobody reads any more. */
  readonly end: AbortController
  readonly signal: AbortSignal | undefined
  readonly weather: Weather
  readonly time: VirtualTime
}

async function* frames<T>(
  source: AsyncIterable<T>,
  { end, signal, weather, time }: Line,
): AsyncGenerator<T> {
  const events = source[Symbol.asyncIterator]()
  const broken = Promise.withResolvers<Break | 'aborted'>()
  const close = weather.streamOpened(broken.resolve, (ms, run) => time.after(ms, run))
  const abort = () => broken.resolve('aborted')
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) abort()
  const unlessBroken = async <V>(work: Promise<V>): Promise<V | 'over'> => {
    const first = await Promise.race([work.then((value) => ({ value })), broken.promise])
    if (typeof first === 'object') return first.value
    // A node that is asked after its stream broke rejects; that is heard by nobody.
    work.catch(() => undefined)
    if (first === 'aborted') throw aborted()
    if (first === 'stream reset') throw unreachable()
    if (first === 'stream ended') return 'over'
    await new Promise<void>((resolve) => {
      signal?.addEventListener('abort', () => resolve(), { once: true })
      if (signal?.aborted) resolve()
    })
    throw aborted()
  }
  try {
    for (;;) {
      const next = await unlessBroken(events.next())
      if (next === 'over' || next.done) return
      if ((await unlessBroken(time.sleep(weather.latencyMs()))) === 'over') return
      yield next.value
    }
  } finally {
    close()
    signal?.removeEventListener('abort', abort)
    end.abort()
  }
}
