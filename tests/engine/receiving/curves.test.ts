/** Receiving where the platform has the curves, and does not take every secret. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { forge } from '../../support/envelope-forge/forge.ts'
import { aLine, said } from '../../support/envelope-forge/judge.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

test('mail to a secret that the platform does not import is opened by wasm', async () => {
  // WebKitGTK 2.50 refuses every X25519 secret whose first byte is zero: one in 32 of clamped ones.
  const { importKey } = globalThis.crypto.subtle
  const refused = vi
    .spyOn(globalThis.crypto.subtle, 'importKey')
    .mockImplementation((...args: unknown[]) =>
      args[0] === 'pkcs8'
        ? Promise.reject(new DOMException('does not meet requirements', 'DataError'))
        : Reflect.apply(importKey, globalThis.crypto.subtle, args),
    )
  onTestFinished(() => refused.mockRestore())
  const bob = await aReceiver({ curves: true })
  const first = forge(await aLine(bob, 'one-time'))
  expect((await bob.deliver(first.message)).outcomes).toEqual(['kept'])
  expect(refused.mock.calls.filter(([format]) => format === 'pkcs8')).toHaveLength(1)
  expect((await bob.deliver(forge(first.next, said('and more')).message)).outcomes).toEqual([
    'kept',
  ])
})
