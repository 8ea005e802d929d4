/** How the command ends by signals while requests are under way. */
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Code } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { endAll, run } from './command.ts'
import { nodeClient, refusalOf, TestInstallation, TestStream, testAccount } from './support.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'padlock-node-'))
})
afterEach(() => {
  endAll()
  rmSync(data, { recursive: true })
})

/** A node whose answer to a publish rests on a chain that does not answer until it is told to. */
async function startBusy(...args: string[]) {
  const sockets = new Set<net.Socket>()
  const asked = Promise.withResolvers<void>()
  const chain = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => asked.resolve())
  })
  await new Promise<void>((resolve) => chain.listen(0, '127.0.0.1', resolve))
  const address = chain.address()
  const chainPort = typeof address === 'object' && address !== null ? address.port : 0
  const command = run(
    ...['--data', data, '--port', '0', '--admin-port', '0'],
    ...['--chain', `1=http://127.0.0.1:${chainPort}`, ...args],
  )
  const [, url = ''] = await command.line(/^listening {2}(http:\S+)$/)
  const [, adminUrl = ''] = await command.line(/^admin {6}(http:\S+)$/)
  const client = nodeClient(createGrpcTransport({ baseUrl: url }))
  const { nodeNs } = await client.getInfo({})
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const publish = client.publish({ envelopes: [bob.contractBundle(nodeNs)] }, { timeoutMs: 30_000 })
  publish.catch(() => {})
  await asked.promise
  return {
    ...command,
    url,
    client,
    publish,
    ready: () => fetch(`${adminUrl}/readyz`).then(({ status }) => status),
    adminUrl,
    /** The chain fails, so the publish gets its answer. */
    breakChain() {
      for (const socket of sockets) socket.destroy()
      chain.close()
    },
  }
}

test('at SIGTERM it is not ready first, and serves until the delay is over', async () => {
  const node = await startBusy('--stop-delay', '2s')
  const stream = new TestStream(node.client, {})
  await stream.nextOf('caughtUp')
  let ended = false
  const ending = stream.ending().finally(() => {
    ended = true
  })
  node.child.kill('SIGTERM')
  await node.line(/^SIGTERM: stopping$/)
  expect(await node.ready()).toBe(503)
  // Those who come before the balancer has noticed are served as if nothing were.
  const newcomer = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  expect((await newcomer.getInfo({})).nodeId).toHaveLength(16)
  expect(ended).toBe(false)
  expect(await ending).toMatchObject({ code: 'unavailable' })
  node.breakChain()
  expect(await node.closed).toBe(0)
})

test('at SIGTERM it ends streams, and answers what is under way', async () => {
  const node = await startBusy()
  expect(await node.ready()).toBe(200)
  expect((await fetch(`${node.adminUrl}/healthz`)).status).toBe(200)
  const metrics = await (await fetch(`${node.adminUrl}/metrics`)).text()
  expect(metrics).toMatch(/^padlock_connections 1$/m)
  expect(metrics).toMatch(/^padlock_streams 0$/m)
  const stream = new TestStream(node.client, {})
  await stream.nextOf('caughtUp')
  node.child.kill('SIGTERM')
  expect(await stream.ending()).toMatchObject({ code: 'unavailable' })
  expect(await node.ready()).toBe(503)
  // Nobody new comes in while the publish waits.
  const late = await refusalOf(nodeClient(createGrpcTransport({ baseUrl: node.url })).getInfo({}))
  expect(late.status).toBe(Code.Unavailable)
  node.breakChain()
  expect(await refusalOf(node.publish)).toMatchObject({ code: 'chain_unavailable' })
  expect(await node.closed).toBe(0)
})

test('what is under way gets the grace that is given, and no more', async () => {
  const node = await startBusy('--stop-grace', '0')
  node.child.kill('SIGTERM')
  expect(await node.closed).toBe(0)
  await expect(node.publish).rejects.toThrow()
  node.breakChain()
})

test('a second signal ends it at once', async () => {
  const node = await startBusy('--stop-grace', '1h')
  node.child.kill('SIGTERM')
  await node.line(/^SIGTERM: stopping$/)
  node.child.kill('SIGINT')
  expect(await node.closed).toBe(1)
  node.breakChain()
})
