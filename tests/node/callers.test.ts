import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { describe, expect, test } from 'vitest'
import type { ListenOptions } from '../../node/src/server/listen.ts'
import { isTrusted, readRange } from '../../node/src/server/proxies.ts'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { start } from './held-node.ts'

function rangeOf(text: string) {
  const range = readRange(text)
  if (range === undefined) throw new Error(`${text} is no range`)
  return range
}

describe('callers', () => {
  const callerOf = async (
    options: Partial<ListenOptions>,
    headers: Record<string, string>,
    httpVersion: '1.1' | '2' = '1.1',
  ) => {
    const { url, asked, listener } = await start(options)
    const client = createClient(NodeService, createConnectTransport({ baseUrl: url, httpVersion }))
    await client.getInfo({}, { headers })
    await listener.close(0)
    return asked[0]?.caller
  }

  test.each<[number, string, string]>([
    [0, '192.0.2.1', '127.0.0.1'],
    [1, '192.0.2.1', '192.0.2.1'],
    [1, '198.51.100.7, 192.0.2.1', '192.0.2.1'],
    [2, '203.0.113.9, 198.51.100.7, 192.0.2.1', '198.51.100.7'],
    // Past one of the two, or from this machine: not what the caller wrote.
    [2, '192.0.2.1', '127.0.0.1'],
    [1, '127.0.0.1', '127.0.0.1'],
    [1, '198.51.100.7, 192.0.2.1:4711', '192.0.2.1'],
    [1, '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    [1, '[2001:db8:1:2::1]:443', '2001:db8:1:2::/64'],
    [1, '::ffff:192.0.2.1', '192.0.2.1'],
    [1, 'nonsense', '127.0.0.1'],
    [1, '0x7f.1', '127.0.0.1'],
    [1, '', '127.0.0.1'],
  ])('behind %i proxies, %s is %s', async (hops, forwardedFor, caller) => {
    expect(await callerOf({ proxies: { hops } }, { 'x-forwarded-for': forwardedFor })).toBe(caller)
  })

  test('the header is read over HTTP/2 too', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.7, 192.0.2.1' }
    expect(await callerOf({ proxies: { hops: 1 } }, headers, '2')).toBe('192.0.2.1')
  })

  test('without a proxy this machine is local, and passed on by one it is not', async () => {
    expect(await callerOf({}, {})).toBe('local')
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      for (const hops of [0, 1]) {
        const caller = await callerOf({ proxies: { hops } }, { [name]: '127.0.0.1' })
        expect(caller).toBe('127.0.0.1')
      }
    }
  })

  test('only from where the proxy connects does its header count', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.7' }
    const named = (...ranges: string[]) =>
      callerOf({ proxies: { hops: 1, from: ranges.map(rangeOf) } }, headers)
    expect(await named('192.0.2.0/24')).toBe('127.0.0.1')
    expect(await named('192.0.2.0/24', '127.0.0.0/8')).toBe('198.51.100.7')
    const trusted = (address: string) => isTrusted(address, { hops: 1 })
    expect(['10.1.2.3', '192.168.0.1', 'fd00::1', '::1', '::ffff:10.0.0.1'].every(trusted)).toBe(
      true,
    )
    expect(['192.0.2.1', '2001:db8::1', '8.8.8.8', 'nonsense'].some(trusted)).toBe(false)
  })

  test('a proxy that is not trusted is reported once', async () => {
    let reported = 0
    const { url } = await start({
      onUntrustedProxy: () => {
        reported += 1
      },
    })
    const transport = createConnectTransport({ baseUrl: url, httpVersion: '1.1' })
    const client = createClient(NodeService, transport)
    await client.getInfo({})
    expect(reported).toBe(0)
    for (let n = 0; n < 3; n += 1) {
      await client.getInfo({}, { headers: { 'x-forwarded-for': '192.0.2.1' } })
    }
    expect(reported).toBe(1)
  })
})
