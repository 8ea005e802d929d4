/** Proxies that refuse with 429 or 503 and say when to come back (RFC 9110 section 10.2.3). */

import { expect, test } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { connectNode } from '../../src/network/connect.ts'
import { readRetryAfter } from '../../src/network/retry-after.ts'
import { grpcWeb, readStream, startHttp } from './server.ts'

const patience = { callMs: 50_000, silenceMs: 50_000 }

/** The errors of a call and of a stream at a server that answers so. */
const refusalsOf = async (status: number, headers: Record<string, string>) => {
  const url = await startHttp((_, response) => {
    response.writeHead(status, headers)
    response.end(status === 200 ? '' : '<html>Please wait.</html>')
  })
  const network = connectNode(url, patience)
  const failures = await Promise.all(
    [network.getInfo(), readStream(network)].map((asked) =>
      asked.then(
        () => 'no refusal',
        (error: unknown) => error,
      ),
    ),
  )
  return failures.map((error) => {
    expect(error).toBeInstanceOf(PadlockError)
    if (!(error instanceof PadlockError)) throw error
    return { url, error }
  })
}

test.each([
  [429, 'rate_limited', 'too many requests'],
  [503, 'unavailable', 'a server failed'],
])('%i of a proxy is %s, with the seconds of its Retry-After', async (status, code, words) => {
  const refusals = await refusalsOf(status, { 'retry-after': '7' })
  for (const [at, { url, error }] of refusals.entries()) {
    expect(error).toMatchObject({ code, retryable: true, details: { retryAfterMs: 7_000 } })
    const rpc = at === 0 ? 'GetInfo' : 'Subscribe'
    expect(error.details).toEqual({ retryAfterMs: 7_000, tried: `${rpc} at ${url}/: ${words}` })
  }
})

test('413 of a proxy is too_large, without an envelope that it would name', async () => {
  for (const { error } of await refusalsOf(413, {})) {
    expect(error).toMatchObject({ code: 'too_large', retryable: false })
    expect(error.details).not.toHaveProperty('envelopeIndex')
    expect(error.details?.tried).toContain('the request is too large')
  }
})

test('a Retry-After that is a date counts from now', async () => {
  const at = new Date(Date.now() + 90_000).toUTCString()
  for (const { error } of await refusalsOf(503, { 'retry-after': at })) {
    // A date has whole seconds.
    expect(error.details?.retryAfterMs).toBeGreaterThan(60_000)
    expect(error.details?.retryAfterMs).toBeLessThanOrEqual(90_000)
  }
})

test('without a Retry-After, or with garbage in it, there is no time in the details', async () => {
  for (const headers of [{}, { 'retry-after': 'soon' }, { 'retry-after': '-5' }]) {
    for (const status of [429, 503]) {
      for (const { error } of await refusalsOf(status, headers)) {
        expect(error.code).toBe(status === 429 ? 'rate_limited' : 'unavailable')
        expect(error.details).not.toHaveProperty('retryAfterMs')
      }
    }
  }
})

test('the word of a node is its own: a Retry-After beside it changes nothing', async () => {
  const headers = { ...grpcWeb, 'grpc-status': '14', 'retry-after': '7' }
  for (const { error } of await refusalsOf(200, headers)) {
    expect(error.code).toBe('network_unavailable')
    expect(error.details).not.toHaveProperty('retryAfterMs')
  }
})

test('the header is read as RFC 9110 writes it, bounded, and else ignored', () => {
  const nowMs = Date.UTC(1994, 10, 6, 8, 49, 7)
  const read = (header: string | null) => readRetryAfter(header, nowMs)
  expect(read('0')).toBe(0)
  expect(read(' 120 ')).toBe(120_000)
  // Section 5.6.7: the form in use, and two that are obsolete and must be accepted.
  expect(read('Sun, 06 Nov 1994 08:49:37 GMT')).toBe(30_000)
  expect(read('Sunday, 06-Nov-94 08:49:37 GMT')).toBe(30_000)
  expect(read('Sun Nov  6 08:49:37 1994')).toBe(30_000)
  expect(read('Sun, 06 Nov 1994 08:49:00 GMT')).toBe(0)
  expect(read('86400')).toBe(3_600_000)
  expect(read('9'.repeat(400))).toBe(3_600_000)
  expect(read('Fri, 31 Dec 9999 23:59:59 GMT')).toBe(3_600_000)
  for (const garbage of [
    ...[null, '', 'soon', '-1', '1.5', '1e3', '0x10', '5, 10', '1994-11-06T08:49:37Z'],
    ...['Sun, 06 Nov 1994', 'Sun, 99 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:37 +0100'],
  ]) {
    expect(read(garbage)).toBeUndefined()
  }
})
