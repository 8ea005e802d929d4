/** The command as a process of its own: what it prints, how it stops, and what survives a kill. */
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { optionNames } from '../../node/src/options/table.ts'
import { endAll, run, runWith } from './command.ts'
import { inboxEnvelope, minuteNs, nodeClient, register, type TestInstallation } from './support.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'padlock-node-'))
})
afterEach(() => {
  endAll()
  rmSync(data, { recursive: true })
})

async function startChild() {
  const command = run('--data', data, '--port', '0')
  const [, url = ''] = await command.line(/^listening {2}(http:\S+)$/)
  const client = nodeClient(createGrpcTransport({ baseUrl: url }))
  return { ...command, url, client }
}

const inboxOf = async (client: ReturnType<typeof nodeClient>, one: TestInstallation) => {
  const { nodeId, nodeNs } = await client.getInfo({})
  const proofs = [one.proof(nodeId, nodeNs + minuteNs)]
  const envelopes = []
  for (let after = 0n, more = true; more; ) {
    const topics = [{ topic: one.inbox, afterSequence: after }]
    const page = await client.query({ topics, proofs })
    envelopes.push(...page.envelopes)
    after = page.envelopes.at(-1)?.sequence ?? after
    more = page.hasMore
  }
  return envelopes
}

test('--help names every option, and what operators ask', async () => {
  const { closed, output, errors } = run('--help')
  expect(await closed).toBe(0)
  const text = output.join('\n')
  for (const name of optionNames) expect(text).toContain(`  --${name} `)
  for (const word of ['SIGTERM', 'SIGHUP', 'Exit codes', 'backup', 'PADLOCK_TLS_CERT']) {
    expect(text).toContain(word)
  }
  expect(Math.max(...output.map(({ length }) => length))).toBeLessThanOrEqual(100)
  expect(errors).toEqual([])
})

test.each(['backup', 'restore', 'check'])('%s is a command of its own', async (command) => {
  const { closed, output } = run(command, '--help')
  expect(await closed).toBe(0)
  expect(output[0]).toMatch(new RegExp(`^padlock-node ${command}: `))
})

test.each([
  [['--port', 'x'], /--port x is not a port number \(0 to 65535\)\.$/],
  [['--port', '65536'], /--port 65536 is not a port number/],
  [['--prot', '1'], /--prot/],
  [['surplus'], /surplus/],
  [['--tls-cert', 'a.pem'], /--tls-cert and --tls-key belong together/],
  [['--database', 'postgres://u:p4ss@127.0.0.1:1/x'], /127\.0\.0\.1:1\/x cannot be used: .+\.$/],
])('%s is one sentence and exit 1', async (args, sentence) => {
  const { closed, errors } = run(...args)
  expect(await closed).toBe(1)
  expect(errors).toHaveLength(1)
  expect(errors[0]).toMatch(sentence)
  expect(errors[0]).not.toContain('p4ss')
})

test('a taken port is one sentence and exit 1', async () => {
  const taken = net.createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { closed, errors, output } = run('--data', data, '--port', `${port}`)
  expect(await closed).toBe(1)
  expect(errors).toEqual([
    `padlock-node: 127.0.0.1:${port} is taken: stop what listens there, or choose another port.`,
  ])
  expect(output).toEqual([])
  await new Promise((resolve) => taken.close(resolve))
})

test('it says what it is, stops cleanly on SIGTERM, and keeps everything', async () => {
  const first = await startChild()
  const { nodeNs } = await first.client.getInfo({})
  const bob = await register(first.client, 'bob', nodeNs)
  await first.client.publish({ envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(bob, 'b')] })
  // A stream that is open does not hold it up.
  const stream = first.client.subscribe({})[Symbol.asyncIterator]()
  await stream.next()
  const ended = (async () => {
    while ((await stream.next()).done !== true);
  })().catch(() => {})
  first.child.kill('SIGTERM')
  expect(await first.closed).toBe(0)
  await ended
  expect(first.output).toEqual([
    expect.stringMatching(/^padlock-node \d+\.\d+\.\d+$/),
    expect.stringMatching(/^node id {4}[0-9a-f]{32}$/),
    `data       ${data}`,
    `listening  ${first.url}`,
    'SIGTERM: stopping',
    'stopped',
  ])
  // Standard error is the log: a start and an end, nothing that would wake anybody.
  expect(first.errors.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ level: 30, message: 'The node has started.', url: first.url }),
    expect.objectContaining({ level: 30, message: 'The node is stopping.', signal: 'SIGTERM' }),
  ])

  const second = await startChild()
  expect(second.output[1]).toBe(first.output[1])
  expect(await inboxOf(second.client, bob)).toMatchObject([{ sequence: 1n }, { sequence: 2n }])
  const [next] = (await second.client.publish({ envelopes: [inboxEnvelope(bob, 'c')] })).receipts
  expect(next?.sequence).toBe(3n)
  second.child.kill('SIGINT')
  expect(await second.closed).toBe(0)
})

test('nothing that was acknowledged is lost when it is killed in the middle', async () => {
  const first = await startChild()
  const { nodeNs } = await first.client.getInfo({})
  const bob = await register(first.client, 'bob', nodeNs)
  const acknowledged = new Map<bigint, string>()
  const publish = async (publisher: number) => {
    for (let n = 0; ; n += 1) {
      const names = [0, 1, 2].map((part) => `${publisher} ${n} ${part}`)
      const envelopes = names.map((name) => inboxEnvelope(bob, name, 512))
      const { receipts } = await first.client.publish({ envelopes })
      for (const [part, { sequence }] of receipts.entries()) {
        acknowledged.set(sequence, names[part] ?? '')
      }
      if (acknowledged.size >= 600) first.child.kill('SIGKILL')
    }
  }
  await Promise.allSettled(Array.from({ length: 8 }, (_, n) => publish(n)))
  await first.closed
  expect(acknowledged.size).toBeGreaterThanOrEqual(600)

  const second = await startChild()
  const envelopes = await inboxOf(second.client, bob)
  expect(envelopes.map(({ sequence }) => sequence)).toEqual(
    envelopes.map((_, index) => BigInt(index + 1)),
  )
  // Requests are whole: three envelopes each, also those that nobody got an answer to.
  expect(envelopes.length % 3).toBe(0)
  const kept = new Map(envelopes.map(({ sequence, message }) => [sequence, message]))
  for (const [sequence, name] of acknowledged) {
    expect(kept.get(sequence)).toEqual(inboxEnvelope(bob, name, 512).message)
  }
  second.child.kill('SIGTERM')
  expect(await second.closed).toBe(0)
})

test('the environment gives options too, and unknown ones are warnings', async () => {
  const command = runWith(
    { PADLOCK_DATA: data, PADLOCK_PORT: '0', PADLOCK_PROT: '1', PADLOCK_LOG_LEVEL: 'warn' },
    '--host',
    'localhost',
  )
  const [, url = ''] = await command.line(/^listening {2}(http:\S+)$/)
  expect(url).toMatch(/^http:\/\/localhost:\d+$/)
  command.child.kill('SIGTERM')
  expect(await command.closed).toBe(0)
  expect(command.output).toContain(`data       ${data}`)
  expect(command.errors.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      level: 40,
      message: 'PADLOCK_PROT is not an option of this release.',
    }),
  ])
})
