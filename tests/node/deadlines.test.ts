/** Deadlines as gRPC and Connect write them. */
import { expect, test } from 'vitest'
import { dropEndlessDeadlines } from '../../node/src/server/deadlines.ts'

const after = (headers: Record<string, string>) => {
  const all = new Headers(headers)
  dropEndlessDeadlines(all)
  return Object.fromEntries(all)
}

test('a deadline that no timer holds is none, any other stays', () => {
  for (const kept of ['1S', '99999999m', '596H', '35791M', '2147483S', '5u', '0n', 'soon']) {
    expect(after({ 'grpc-timeout': kept })).toEqual({ 'grpc-timeout': kept })
  }
  for (const endless of ['99999999H', '597H', '35792M', '2147484S']) {
    expect(after({ 'grpc-timeout': endless })).toEqual({})
  }
  expect(after({ 'connect-timeout-ms': '2147483647' })).toEqual({
    'connect-timeout-ms': '2147483647',
  })
  expect(after({ 'connect-timeout-ms': '2147483648' })).toEqual({})
})
