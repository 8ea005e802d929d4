/** A node as a process: what it prints and logs, and which signals it answers. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Room } from './limits/data-room.ts'
import { collectUnderPressure } from './limits/memory-pressure.ts'
import { createRateLimits } from './limits/rate-limits.ts'
import { type RunningNode, showDatabase, startNode } from './node.ts'
import { createLog, type Log, observeByLog } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { observeAll } from './observe/observer.ts'
import { exemptionOf, nodeOptionsOf } from './options/node-options.ts'
import type { Settings } from './options/table.ts'

const roomInWords: Readonly<Record<Room, string>> = {
  enough: 'There is enough room for data again.',
  little:
    'There is little room left for data, so no new keys of devices are taken: see --max-data.',
  none: 'There is no room left for data, so nothing but revocations is taken: see --max-data.',
}

function fail(sentence: string): never {
  console.error(`padlock-node: ${sentence}`)
  process.exit(1)
}

/** Starts a node and resolves; the process ends by a signal, or with exit code 1 and a sentence. */
export async function run(
  version: string,
  settings: Settings,
  warnings: readonly string[],
): Promise<void> {
  const log = createLog({ level: settings['log-level'] })
  for (const warning of warnings) log.warn(`${warning}.`)
  endOnDefects(log)
  collectUnderPressure(settings.memory)
  const starting = start(version, settings, log)
  stopOnSignals(starting, log, settings['stop-delay'] + settings['stop-grace'])
  const node = await starting
  const { database, data } = settings
  console.log(`padlock-node ${version}`)
  console.log(`node id    ${Buffer.from(node.nodeId).toString('hex')}`)
  console.log(
    database === undefined ? `data       ${data}` : `database   ${showDatabase(database)}`,
  )
  console.log(`listening  ${node.url}`)
  if (node.adminUrl !== undefined) console.log(`admin      ${node.adminUrl}`)
  log.info('The node has started.', {
    version,
    url: node.url,
    nodeId: Buffer.from(node.nodeId).toString('hex'),
    database: database === undefined ? 'sqlite' : 'postgres',
  })
  if (node.connectionLimit < settings['max-connections']) {
    log.warn('The limit of open files leaves fewer connections than --max-connections.', {
      count: node.connectionLimit,
    })
  }
}

async function start(version: string, settings: Settings, log: Log): Promise<RunningNode> {
  const metrics = createMetrics()
  const { rate } = settings
  try {
    return await startNode({
      ...nodeOptionsOf(settings),
      version: `padlock/1 padlock-node/${version}`,
      metrics,
      observer: observeAll(metrics.observer, observeByLog(log)),
      ...(rate !== 'off' && {
        limits: createRateLimits(rate, { exempt: exemptionOf(settings) }),
      }),
      onChainTrouble: (chainId, reason) =>
        log.warn('A chain could not be asked.', { chainId, reason }),
      onCertificate: (news) => {
        if (news.kind === 'refused') {
          log.error('The new certificate is not used.', { reason: news.why })
        } else {
          log.info(`The certificate is valid until ${news.validUntil.toISOString()}.`)
        }
      },
      onRoom: (room) => {
        if (room === 'enough') log.info(roomInWords[room])
        else log.error(roomInWords[room])
      },
      onUntrustedProxy: () =>
        log.warn(
          'A proxy that is not trusted passes requests on, so all its callers count as one and share its limits: see --trust-proxy and --trust-proxy-from.',
        ),
      onFailure: (reason) => fail(`${reason}. Start it again.`),
    })
  } catch (error) {
    return fail(error instanceof Error ? error.message : 'cannot start.')
  }
}

/** From now on, so that a signal that comes while the node starts stops it too. */
function stopOnSignals(starting: Promise<RunningNode>, log: Log, graceMs: number): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second signal means now; acknowledged data is on disk either way.
      if (stopping) process.exit(1)
      stopping = true
      console.log(`${signal}: stopping`)
      log.info('The node is stopping.', { signal })
      stop(starting, log, graceMs).then(
        () => process.exit(0),
        (error: unknown) => fail(error instanceof Error ? error.message : 'cannot stop.'),
      )
    })
  }
  process.on('SIGHUP', () => void starting.then((node) => node.reloadCertificate()))
}

/** How long after the grace the process waits for the node to close. */
const closeLimitMs = 15_000

async function stop(starting: Promise<RunningNode>, log: Log, graceMs: number): Promise<void> {
  const node = await starting
  const late = new AbortController()
  const patience = wait(graceMs + closeLimitMs, true, { signal: late.signal }).catch(() => false)
  // Acknowledged data is on disk, however this ends.
  if ((await Promise.race([node.close().then(() => false), patience])) === true) {
    log.warn('The node did not close in time and is ended.')
  }
  late.abort()
  console.log('stopped')
}

/** After an uncaught error the state of the process is unknown. Its message may quote input. */
function endOnDefects(log: Log): void {
  const end = (error: unknown): void => {
    const stack = error instanceof Error ? (error.stack ?? '').split('\n') : []
    const places = stack.filter((line) => /^\s+at /.test(line))
    const where = [error instanceof Error ? error.name : typeof error, ...places].join('\n')
    log.error('This is a defect of the node, which ends here; please report it.', { where })
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}
