/** The wallet alone lists and revokes devices: what somebody needs whose account is full of lost ones. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listInstallationsOf, revokeInstallationsOf } from '../../src/facade/account-calls.ts'
import type { EngineHandle } from '../../src/facade/engine-host.ts'
import { serve } from '../../src/worker/main.ts'
import { anAccount } from '../support/accounts.ts'
import { publishLostDevices } from '../support/lost-devices.ts'
import {
  createNodeWorld,
  type NodeWorld,
  openNodeClient,
  wasmBytes,
} from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'

let world: NodeWorld
let wasm: Uint8Array<ArrayBuffer>
let running = 0
beforeAll(async () => {
  world = await createNodeWorld(runSeed())
  wasm = await wasmBytes()
})
afterAll(() => world.close())

const start = async (): Promise<EngineHandle> => {
  const { port1, port2 } = new MessageChannel()
  port1.start()
  port2.start()
  serve(port2)
  running += 1
  return {
    port: port1,
    wasm: [async () => wasm],
    terminate: () => {
      running -= 1
      port1.close()
      port2.close()
    },
  }
}

/** An account whose hundred devices are all gone. */
const aFullAccount = async () => {
  const account = anAccount()
  const lost = await publishLostDevices(world.url, account, 100)
  const asked: string[] = []
  const wallet = {
    address: account.address,
    signMessage: async ({ message }: { message: string }) => {
      asked.push(message)
      return account.signMessage({ message })
    },
  }
  return { wallet, asked, lost, options: { wallet, node: world.url } }
}

test('an account without a place says so before its wallet is asked; the wallet alone makes room', async () => {
  const { wallet, asked, lost, options } = await aFullAccount()
  const database = `full-${wallet.address}`
  const open = () => openNodeClient({ ...options, database }, wasm)
  await expect(open()).rejects.toMatchObject({
    code: 'too_many_installations',
    details: { installations: 100 },
  })
  expect(asked).toEqual([])

  const listed = await listInstallationsOf(options, start)
  expect(listed.map(({ id }) => id).sort()).toEqual([...lost].sort())
  expect(new Set(listed.map(({ state, isThis }) => `${state} ${isThis}`))).toEqual(
    new Set(['valid false']),
  )
  expect(asked).toEqual([])

  const gone = listed.slice(0, 60).map(({ id }) => id)
  await revokeInstallationsOf(gone, options, start)
  expect(asked).toHaveLength(1)
  expect(asked[0]).toMatch(/^XMTP: Revoke Messaging Access/)
  const left = await listInstallationsOf(options, start)
  const revoked = left.filter(({ state }) => state === 'revoked').map(({ id }) => id)
  expect(revoked.sort()).toEqual([...gone].sort())
  // Those are revoked already: nobody is asked again.
  await revokeInstallationsOf(gone, options, start)
  expect(asked).toHaveLength(1)

  const client = await open()
  expect((await client.installations()).filter(({ state }) => state === 'valid')).toHaveLength(41)
  await client.close()
  // Each call ended its worker.
  expect(running).toBe(0)
})

test('an id that the account never granted, and a wallet that says no, change nothing', async () => {
  const { asked, lost, options } = await aFullAccount()
  const [first] = lost
  if (!first) throw new Error('a device')
  await expect(revokeInstallationsOf(['A'.repeat(43)], options, start)).rejects.toMatchObject({
    code: 'invalid_argument',
  })
  expect(asked).toEqual([])
  const refusing = {
    ...options,
    wallet: {
      ...options.wallet,
      signMessage: () => Promise.reject(Object.assign(new Error('no'), { code: 4001 })),
    },
  }
  await expect(revokeInstallationsOf([first], refusing, start)).rejects.toMatchObject({
    code: 'wallet_rejected',
    details: { walletCode: 4001 },
  })
  const listed = await listInstallationsOf(options, start)
  expect(listed.filter(({ state }) => state === 'valid')).toHaveLength(100)
  expect(running).toBe(0)
})

test('a call ends when its caller gives up, also while the wallet does not answer', async () => {
  const { lost, options } = await aFullAccount()
  const [first] = lost
  if (!first) throw new Error('a device')
  const stop = new AbortController()
  const silent = {
    ...options,
    signal: stop.signal,
    wallet: {
      ...options.wallet,
      signMessage: () => {
        stop.abort()
        return new Promise<never>(() => undefined)
      },
    },
  }
  const revoking = revokeInstallationsOf([first], silent, start)
  await expect(revoking).rejects.toMatchObject({ code: 'aborted' })
  expect(running).toBe(0)
})
