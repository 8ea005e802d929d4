#!/usr/bin/env node
/** The `padlock-node` command. */
import packageJson from '../package.json' with { type: 'json' }
import { createRateLimits } from './limits/rate-limits.ts'
import { type RunningNode, showDatabase, startNode } from './node.ts'
import { createLog, type Log, observeByLog } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { observeAll } from './observe/observer.ts'
import { helpText } from './options/help.ts'
import { exemptionOf, nodeOptionsOf } from './options/node-options.ts'
import { readOptions } from './options/read.ts'
import type { Settings } from './options/table.ts'

const { version } = packageJson

function fail(sentence: string): never {
  console.error(`padlock-node: ${sentence}`)
  process.exit(1)
}

const asked = readOptions(process.argv.slice(2), process.env)
switch (asked.kind) {
  case 'help':
    console.log(helpText(version))
    break
  case 'version':
    console.log(version)
    break
  case 'problem':
    fail(asked.sentence)
    break
  case 'run':
    await run(asked.settings, asked.warnings)
}

async function run(settings: Settings, warnings: readonly string[]): Promise<void> {
  const log = createLog({ level: settings['log-level'] })
  for (const warning of warnings) log.warn(warning)
  failLoudly(log)
  const node = await start(settings, log)
  const { database, data } = settings
  console.log(`padlock-node ${version}`)
  console.log(`node id    ${Buffer.from(node.nodeId).toString('hex')}`)
  console.log(
    database === undefined ? `data       ${data}` : `database   ${showDatabase(database)}`,
  )
  console.log(`listening  ${node.url}`)
  if (node.adminUrl !== undefined) console.log(`admin      ${node.adminUrl}`)
  if (node.connectionLimit < settings['max-connections']) {
    log.warn('The limit of open files leaves fewer connections than --max-connections.', {
      count: node.connectionLimit,
    })
  }
  log.info('The node has started.', {
    version,
    url: node.url,
    nodeId: Buffer.from(node.nodeId).toString('hex'),
    database: database === undefined ? 'sqlite' : 'postgres',
  })
  stopOnSignals(node, log)
}

async function start(settings: Settings, log: Log): Promise<RunningNode> {
  const metrics = createMetrics()
  const exempt = exemptionOf(settings)
  const { rate } = settings
  try {
    return await startNode({
      ...nodeOptionsOf(settings),
      version: `padlock/1 padlock-node/${version}`,
      metrics,
      observer: observeAll(metrics.observer, observeByLog(log)),
      exempt,
      ...(rate !== 'off' && { limits: createRateLimits(rate, { exempt }) }),
      onChainTrouble: (chainId, reason) =>
        log.warn('A chain could not be asked.', { chainId, reason }),
      onCertificate: (news) => {
        if (news.kind === 'loaded') {
          log.info(`The certificate is valid until ${news.validUntil.toISOString()}.`)
        } else {
          log.error('The new certificate is not used.', { reason: news.why })
        }
      },
      onUntrustedProxy: () =>
        log.warn('X-Forwarded-For is ignored, so a proxy counts as one caller: see --trust-proxy.'),
      onFailure: (reason) => fail(`${reason}. Start it again.`),
    })
  } catch (error) {
    return fail(error instanceof Error ? error.message : 'cannot start.')
  }
}

function stopOnSignals(node: RunningNode, log: Log): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second one means now; what was acknowledged is on disk either way.
      if (stopping) process.exit(1)
      stopping = true
      console.log(`${signal}: stopping`)
      log.info('The node is stopping.', { signal })
      node.close().then(
        () => {
          console.log('stopped')
          process.exit(0)
        },
        (error: unknown) => fail(error instanceof Error ? error.message : 'cannot stop.'),
      )
    })
  }
  process.on('SIGHUP', () => node.reloadCertificate())
}

/** What nobody caught leaves the process in no known state. Its message may quote what was sent. */
function failLoudly(log: Log): void {
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
