/** Turns the operator's settings into options of the node's parts. */

import { dayNs } from '../clock.ts'
import { shareMemory } from '../limits/memory.ts'
import type { NodeOptions } from '../node.ts'
import { isLocal } from '../server/caller.ts'
import type { Settings } from './table.ts'

/** Callers without limits. */
export const exemptionOf = (settings: Settings): ((caller: string) => boolean) =>
  settings['limit-local'] === 'yes' ? () => false : isLocal

/** All options except log and metrics. */
export function nodeOptionsOf(settings: Settings): NodeOptions {
  const certificate = settings['tls-cert']
  const key = settings['tls-key']
  const adminPort = settings['admin-port']
  const { database } = settings
  const from = settings['trust-proxy-from']
  const memory = shareMemory(settings.memory)
  return {
    ...(database === undefined
      ? { data: settings.data }
      : {
          database: {
            url: database,
            doorbell: settings.doorbell,
            connections: settings['database-connections'],
          },
        }),
    port: settings.port,
    host: settings.host,
    ...(certificate !== undefined && key !== undefined && { tls: { certificate, key } }),
    proxies: {
      hops: settings['trust-proxy'],
      ...(from !== undefined && { from }),
    },
    exempt: exemptionOf(settings),
    dataLimitBytes: settings['max-data'],
    chains: settings.chain,
    retentionNs: BigInt(settings['retention-days']) * dayNs,
    liveTotalBytes: memory.liveBytes,
    liveLimit: { envelopes: settings['live-envelopes'], bytes: settings['live-bytes'] },
    ...(adminPort !== undefined && { admin: { host: settings['admin-host'], port: adminPort } }),
    stopDelayMs: settings['stop-delay'],
    stopGraceMs: settings['stop-grace'],
    serverLimits: {
      headersTimeoutMs: settings['headers-timeout'],
      requestTimeoutMs: settings['request-timeout'],
      idleTimeoutMs: settings['idle-timeout'],
      concurrentStreams: settings['max-streams'],
      connections: settings['max-connections'],
      connectionsOfCaller: settings['max-connections-per-caller'],
      bodyBytes: memory.bodyBytes,
      answerBytes: memory.answerBytes,
      callsBytes: memory.callsBytes,
    },
  }
}
