/** What browsers ask before they call a node from another origin, and what it answers. */
import { cors } from '@connectrpc/connect'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathOf } from './calls.ts'
import { type FuzzNode, startFuzzNode } from './fuzz-node.ts'
import { rpcs } from './samples.ts'

let node: FuzzNode
beforeAll(async () => {
  node = await startFuzzNode()
})
afterAll(() => node.close())

const origin = 'https://app.example'
const ask = (path: string, method: string, headers: Record<string, string> = {}) =>
  fetch(node.url + path, { method, headers: { origin, ...headers } })
const listOf = (response: Response, name: string): string[] =>
  (response.headers.get(name) ?? '')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .sort()

test.each(rpcs)('a browser may call %s: methods, headers and for how long', async (rpc) => {
  const preflight = await ask(pathOf(rpc), 'OPTIONS', {
    'access-control-request-method': 'POST',
    'access-control-request-headers':
      'content-type,connect-protocol-version,connect-timeout-ms,grpc-timeout,x-grpc-web,x-user-agent',
  })
  expect(preflight.status).toBe(204)
  expect(await preflight.text()).toBe('')
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
  expect(listOf(preflight, 'access-control-allow-methods')).toEqual(['get', 'post'])
  expect(listOf(preflight, 'access-control-allow-headers')).toEqual(
    cors.allowedHeaders.map((name) => name.toLowerCase()).sort(),
  )
  expect(preflight.headers.get('access-control-max-age')).toBe('7200')
  // No cookies and no passwords: what anyone may ask needs neither, and `*` forbids them.
  expect(preflight.headers.get('access-control-allow-credentials')).toBeNull()
})

test.each(['PUT', 'DELETE', 'PATCH', 'CONNECT', 'x'])(
  'a preflight for %s allows it not',
  async (method) => {
    const preflight = await ask(pathOf('Publish'), 'OPTIONS', {
      'access-control-request-method': method,
    })
    expect(listOf(preflight, 'access-control-allow-methods')).not.toContain(method.toLowerCase())
  },
)

test.each(['PUT', 'DELETE', 'PATCH', 'GET'])('%s itself is not allowed', async (method) => {
  const response = await ask(pathOf('Publish'), method)
  expect(response.status).toBe(405)
  await response.body?.cancel()
})

test.each(['application/json', 'application/grpc-web+proto'])(
  'an answer in %s, good or bad, can be read by the page that asked',
  async (type) => {
    for (const body of ['{}', 'x']) {
      const response = await fetch(node.url + pathOf('GetInfo'), {
        method: 'POST',
        headers: { origin, 'content-type': type },
        body,
      })
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(listOf(response, 'access-control-expose-headers')).toEqual(
        expect.arrayContaining(['grpc-message', 'grpc-status', 'grpc-status-details-bin']),
      )
      await response.body?.cancel()
    }
  },
)

test('where there is nothing, a page is told so and not that it may not ask', async () => {
  const response = await ask('/nothing', 'GET')
  expect(response.status).toBe(404)
  expect(response.headers.get('access-control-allow-origin')).toBe('*')
  await response.body?.cancel()
})
