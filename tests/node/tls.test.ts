/** A node with a certificate of its own: every protocol over TLS, and a certificate that is replaced. */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningNode, startNode } from '../../node/src/node.ts'
import type { CertificateNews } from '../../node/src/server/tls.ts'
import { makeCertificate, type TestCertificate } from './certificates.ts'
import { inboxEnvelope, minuteNs, nodeClient, register, TestStream } from './support.ts'

let folder: string
let node: RunningNode
const first = makeCertificate('first')
const news: CertificateNews[] = []
let onNews: (() => void) | undefined
const files = () => ({ certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') })

/** Puts new files in the place of the old ones, as tools that renew certificates do. */
function replace({ certificate, key }: TestCertificate): void {
  for (const [name, text] of [
    ['key.pem', key],
    ['cert.pem', certificate],
  ] as const) {
    writeFileSync(join(folder, `${name}.new`), text)
    renameSync(join(folder, `${name}.new`), join(folder, name))
  }
}

/** The next news about the certificate after what `cause` does. */
async function newsAfter(cause: () => void): Promise<CertificateNews | undefined> {
  const count = news.length
  const arrived = new Promise<void>((resolve) => {
    onNews = resolve
  })
  cause()
  if (news.length === count) await arrived
  return news.at(-1)
}

/** The name in the certificate that a new connection is shown. */
const shownName = (options: tls.ConnectionOptions = {}) =>
  new Promise<string>((resolve, reject) => {
    const port = Number(new URL(node.url).port)
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    socket.on('secureConnect', () => {
      const { CN } = socket.getPeerCertificate().subject
      resolve(`${CN} ${socket.alpnProtocol} ${socket.getProtocol()}`)
      socket.destroy()
    })
    socket.on('error', reject)
  })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'padlock-tls-'))
  replace(first)
  node = await startNode({
    data: join(folder, 'data'),
    port: 0,
    host: '127.0.0.1',
    tls: files(),
    onCertificate: (one) => {
      news.push(one)
      onNews?.()
    },
  })
})
afterAll(async () => {
  await node.close()
  rmSync(folder, { recursive: true })
})

const nodeOptions = { ca: first.certificate }
const transports = {
  'gRPC over HTTP/2': () => createGrpcTransport({ baseUrl: node.url, nodeOptions }),
  'gRPC-web over HTTP/2': () =>
    createGrpcWebTransport({ baseUrl: node.url, httpVersion: '2', nodeOptions }),
  'gRPC-web over HTTP/1.1': () =>
    createGrpcWebTransport({ baseUrl: node.url, httpVersion: '1.1', nodeOptions }),
  'Connect over HTTP/1.1': () =>
    createConnectTransport({ baseUrl: node.url, httpVersion: '1.1', nodeOptions }),
}

test('its URL says that it speaks TLS', () => {
  expect(node.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  expect(news).toMatchObject([{ kind: 'loaded', validUntil: expect.any(Date) }])
})

describe.each(Object.entries(transports))('%s over TLS', (name, transport) => {
  test('publishes and follows an inbox', async () => {
    const client = nodeClient(transport())
    const { nodeId, nodeNs } = await client.getInfo({})
    const bob = await register(client, `bob by ${name}`, nodeNs)
    const proofs = [bob.proof(nodeId, nodeNs + 5n * minuteNs)]
    const topics = [{ topic: bob.inbox, afterSequence: 0n }]
    const stream = new TestStream(client, { topics, proofs })
    await stream.nextOf('caughtUp')
    await client.publish({ envelopes: [inboxEnvelope(bob, 'large', 1024 * 1024)] })
    expect(await stream.envelopes(1)).toMatchObject([{ sequence: 1n }])
    stream.close()
  })
})

test('a client chooses HTTP/2 or HTTP/1.1 by ALPN, and gets neither below TLS 1.2', async () => {
  expect(await shownName({ ALPNProtocols: ['h2', 'http/1.1'] })).toBe('first h2 TLSv1.3')
  expect(await shownName({ ALPNProtocols: ['http/1.1'], maxVersion: 'TLSv1.2' })).toBe(
    'first http/1.1 TLSv1.2',
  )
  const old = shownName({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })
  await expect(old).rejects.toThrow()
})

test('without ALPN the first bytes decide', async () => {
  const { port } = new URL(node.url)
  const socket = tls.connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false })
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  expect(answer).toMatch(/^HTTP\/1\.1 404 /)
})

test('what is no TLS is closed and harms nobody', async () => {
  const { port } = new URL(node.url)
  await new Promise<void>((resolve) => {
    const socket = net.connect(Number(port), '127.0.0.1', () => {
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    })
    socket.resume()
    socket.on('error', () => {})
    socket.on('close', () => resolve())
  })
  expect(await shownName()).toContain('first')
})

test('a new certificate is used for new connections, and open streams go on', async () => {
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url, nodeOptions }))
  const { nodeId, nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob who stays', nodeNs)
  const proofs = [bob.proof(nodeId, nodeNs + 5n * minuteNs)]
  const stream = new TestStream(client, { topics: [{ topic: bob.inbox }], proofs })
  await stream.nextOf('caughtUp')

  const second = makeCertificate('second')
  expect(await newsAfter(() => replace(second))).toMatchObject({ kind: 'loaded' })
  expect(await shownName()).toContain('second')
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  expect(await stream.envelopes(1)).toMatchObject([{ sequence: 1n }])

  // A broken one changes nothing.
  const broken = () => replace({ ...second, certificate: 'not a certificate' })
  expect(await newsAfter(broken)).toMatchObject({
    kind: 'refused',
    why: expect.stringMatching(/^not a certificate and its key in PEM/),
  })
  expect(await shownName()).toContain('second')
  const mixed = () => replace({ ...second, key: makeCertificate('other').key })
  expect(await newsAfter(mixed)).toEqual({
    kind: 'refused',
    why: 'certificate and key do not belong together',
  })
  expect(await shownName()).toContain('second')

  await client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
  expect(await stream.envelopes(1)).toMatchObject([{ sequence: 2n }])
  stream.close()
})

test('a certificate is read again at once on request', async () => {
  replace(makeCertificate('third'))
  node.reloadCertificate()
  expect(await shownName()).toContain('third')
  expect(readFileSync(files().certificate, 'utf8')).toContain('BEGIN CERTIFICATE')
})

test.each([
  ['a missing file', {}, 'a file is missing'],
  ['two that do not fit', { key: makeCertificate('x').key }, 'do not belong together'],
  ['what is no certificate', { certificate: 'x' }, 'not a certificate and its key in PEM'],
])('%s is one sentence at the start', async (_, change, sentence) => {
  const place = mkdtempSync(join(folder, 'start-'))
  const paths = { certificate: join(place, 'cert.pem'), key: join(place, 'key.pem') }
  if (Object.keys(change).length > 0) {
    const pair = { ...first, ...change }
    writeFileSync(paths.certificate, pair.certificate)
    writeFileSync(paths.key, pair.key)
  }
  const starting = startNode({ data: place, port: 0, host: '127.0.0.1', tls: paths })
  await expect(starting).rejects.toThrow(sentence)
  await expect(starting).rejects.toThrow(/^--tls-cert and --tls-key cannot be used: .*\.$/)
})
