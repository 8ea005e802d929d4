#!/usr/bin/env node
/** The `padlock-node` command. */
import { parseArgs } from 'node:util'
import packageJson from '../package.json' with { type: 'json' }
import { type RunningNode, startNode } from './node.ts'
import { createLog, observeByLog } from './observe/log.ts'

const help = `padlock-node ${packageJson.version}: stores and streams sealed envelopes for Padlock clients

Usage: padlock-node [options]

  --data <folder>   where everything is kept (default: ./padlock-data)
  --port <number>   the port to listen on (default: 8787)
  --host <address>  the address to listen on (default: 127.0.0.1; 0.0.0.0 for every interface)
  --help            print this
  --version         print the version

One port answers gRPC, gRPC-web and Connect, without TLS: put a proxy that does TLS and HTTP/2 in
front of a node that others reach. Stop it with Ctrl-C or SIGTERM; nothing acknowledged is lost.`

function fail(message: string): never {
  console.error(`padlock-node: ${message}`)
  process.exit(1)
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        data: { type: 'string', default: './padlock-data' },
        port: { type: 'string', default: '8787' },
        host: { type: 'string', default: '127.0.0.1' },
        help: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : 'wrong arguments'} Try --help.`)
  }
}

const { data, host, ...given } = readArguments()
if (given.help) {
  console.log(help)
  process.exit(0)
}
if (given.version) {
  console.log(packageJson.version)
  process.exit(0)
}
const port = Number(given.port)
if (!/^\d+$/.test(given.port) || port > 65_535) fail(`--port ${given.port} is not a port number.`)

let node: RunningNode
try {
  node = await startNode({
    data,
    port,
    host,
    version: `padlock/1 padlock-node/${packageJson.version}`,
    observer: observeByLog(createLog({ level: 'info' })),
    onFailure: (reason) => fail(`${reason}. Start it again.`),
  })
} catch (error) {
  fail(error instanceof Error ? error.message : 'cannot start.')
}
console.log(`padlock-node ${packageJson.version}`)
console.log(`node id    ${Buffer.from(node.nodeId).toString('hex')}`)
console.log(`data       ${data}`)
console.log(`listening  ${node.url}`)

let stopping = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    // A second one means now; what was acknowledged is on disk either way.
    if (stopping) process.exit(1)
    stopping = true
    console.log(`${signal}: stopping`)
    node.close().then(
      () => {
        console.log('stopped')
        process.exit(0)
      },
      (error: unknown) => fail(error instanceof Error ? error.message : 'cannot stop.'),
    )
  })
}
