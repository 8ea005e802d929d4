/** The metrics of the port that clients use. */
import { Gauge, type Registry } from 'prom-client'
import type { Listener } from './listen.ts'

/** Adds gauges that are read at each scrape. */
export function addServerMetrics(
  registry: Pick<Registry, 'registerMetric'>,
  server: Listener,
): void {
  const addGauge = (name: string, help: string, read: () => number): void => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [],
      collect: () => gauge.set(read()),
    })
    registry.registerMetric(gauge)
  }
  addGauge('padlock_connections', 'Connections that are open.', () => server.connections)
  addGauge(
    'padlock_connections_limit',
    'Connections that may be open, by option and by the limit of open files.',
    () => server.connectionLimit,
  )
  addGauge(
    'padlock_connections_refused',
    'Connections turned away as too many since the start.',
    () => server.connectionsRefused,
  )
  addGauge('padlock_calls', 'Calls under way, subscriptions too.', () => server.calls)
  addGauge(
    'padlock_calls_limit',
    'Calls that may be under way, by the memory that the process may take.',
    () => server.callLimit,
  )
  addGauge(
    'padlock_request_body_bytes',
    'Bytes of request bodies in memory.',
    () => server.bodyBytes,
  )
  addGauge(
    'padlock_answer_bytes',
    'Bytes of envelopes that were read for answers and not taken by their readers yet.',
    () => server.answerBytes,
  )
  if (server.certificateUntil !== undefined) {
    addGauge(
      'padlock_certificate_expires_seconds',
      'When the certificate in use expires, as Unix time.',
      () => (server.certificateUntil?.getTime() ?? 0) / 1_000,
    )
  }
}
