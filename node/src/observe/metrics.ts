/**
 * Metrics for Prometheus. Every label has a fixed set of values, so that nobody outside can make
 * series of their own.
 */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type PrometheusContentType,
  Registry,
} from 'prom-client'
import { limitKinds } from '../limits/rate-limits.ts'
import { type Observer, silentObserver } from './observer.ts'

/** Read at each scrape. */
export interface Levels {
  /** Subscriptions that are open. */
  readonly streams: number
  /** Bytes of envelopes that wait for readers. */
  readonly streamBytes: number
  /** Requests that wait to be stored. */
  readonly storeWaiting: number
  /** What the data takes. */
  readonly dataBytes: number
}

export interface Metrics {
  readonly registry: Registry<PrometheusContentType>
  readonly observer: Observer
  /** Sets where the levels are read; until then all are 0. */
  watch(levels: () => Levels): void
}

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Counts from 0. Metrics of the process, such as event-loop delay, come from prom-client. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]

  const requests = new Counter({
    name: 'padlock_requests_total',
    help: 'Calls that ended, subscriptions too, by RPC and code.',
    labelNames: ['rpc', 'code'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'padlock_request_seconds',
    help: 'How long calls took, subscriptions aside.',
    labelNames: ['rpc'],
    buckets: seconds,
    registers,
  })
  const storeSeconds = new Histogram({
    name: 'padlock_store_seconds',
    help: 'How long the store took to answer, waiting for its turn included.',
    labelNames: ['operation'],
    buckets: seconds,
    registers,
  })
  const storedEnvelopes = new Counter({
    name: 'padlock_stored_envelopes_total',
    help: 'Envelopes stored, by the kind of their topic; known ones sent again do not count.',
    labelNames: ['kind'],
    registers,
  })
  const storedBytes = new Counter({
    name: 'padlock_stored_bytes_total',
    help: 'Bytes of messages stored, by the kind of their topic.',
    labelNames: ['kind'],
    registers,
  })
  const streamed = new Counter({
    name: 'padlock_streamed_envelopes_total',
    help: 'Envelopes handed to subscriptions.',
    registers,
  })
  const slowReaders = new Counter({
    name: 'padlock_slow_readers_total',
    help: 'Subscriptions ended because their reader was too slow.',
    registers,
  })
  const limited = new Counter({
    name: 'padlock_rate_limited_total',
    help: 'Requests refused by a rate limit; of claims: fallback keys given for one.',
    labelNames: ['kind'],
    registers,
  })
  const claimed = new Counter({
    name: 'padlock_claimed_prekeys_total',
    help: 'Answers about prekeys, by what was given.',
    labelNames: ['result'],
    registers,
  })
  const chainAnswers = new Counter({
    name: 'padlock_chain_answers_total',
    help: 'What chains said about contract signatures.',
    labelNames: ['word'],
    registers,
  })
  const failures = new Counter({
    name: 'padlock_failures_total',
    help: 'Failures of the node itself: of its storage, or of its code.',
    labelNames: ['of'],
    registers,
  })
  // Series that exist from the start can be watched for their first increase.
  for (const kind of limitKinds) limited.inc({ kind }, 0)
  for (const part of ['storage', 'code']) failures.inc({ of: part }, 0)

  let levels: () => Levels = () => ({
    streams: 0,
    streamBytes: 0,
    storeWaiting: 0,
    dataBytes: 0,
  })
  const addGauge = (name: string, help: string, read: (levels: Levels) => number): void => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers,
      collect: () => gauge.set(read(levels())),
    })
  }
  addGauge('padlock_streams', 'Subscriptions that are open.', ({ streams }) => streams)
  addGauge(
    'padlock_stream_buffer_bytes',
    'Bytes of envelopes that wait for readers.',
    ({ streamBytes }) => streamBytes,
  )
  addGauge(
    'padlock_store_queue',
    'Requests that wait to be stored.',
    ({ storeWaiting }) => storeWaiting,
  )
  addGauge('padlock_data_bytes', 'What the data takes.', ({ dataBytes }) => dataBytes)

  const observer: Observer = {
    ...silentObserver,
    callEnded({ rpc, code, durationMs }) {
      requests.inc({ rpc, code })
      if (code === 'slow_reader') slowReaders.inc()
      if (rpc !== 'Subscribe') requestSeconds.observe({ rpc }, durationMs / 1_000)
    },
    limited: (kind, count) => limited.inc({ kind }, count),
    stored(kind, bytes) {
      storedEnvelopes.inc({ kind })
      storedBytes.inc({ kind }, bytes)
    },
    streamed: (envelopes) => streamed.inc(envelopes),
    claimed: (result) => claimed.inc({ result }),
    storeAnswered: (operation, ms) => storeSeconds.observe({ operation }, ms / 1_000),
    chainAnswered: (status) => chainAnswers.inc({ word: status }),
    storageFailed: () => failures.inc({ of: 'storage' }),
    defect: () => failures.inc({ of: 'code' }),
  }
  return {
    registry,
    observer,
    watch(given) {
      levels = given
    },
  }
}
