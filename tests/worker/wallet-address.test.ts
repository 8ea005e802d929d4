/** The address that a wallet gives for its account, in any capitalisation. */

import { getAddress } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, expect, test } from 'vitest'
import {
  createNodeWorld,
  type NodeWorld,
  openNodeClient,
  wasmBytes,
} from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'

let world: NodeWorld | undefined
afterEach(async () => {
  await world?.close()
  world = undefined
})

const account = privateKeyToAccount(`0x${'5'.repeat(64)}`)

/** As Rootstock's wallets write it: the checksum has the chain in it (EIP-1191). */
const ofRootstock = getAddress(account.address, 30)

test.each([
  ['another checksum', ofRootstock],
  ['capitals', `0x${account.address.slice(2).toUpperCase()}`],
  ['small letters', account.address.toLowerCase()],
])(
  'an address in %s opens the account, and signs for it as the wallet writes it',
  async (_name, written) => {
    expect(ofRootstock).not.toBe(account.address)
    world = await createNodeWorld(runSeed())
    const asked: unknown[] = []
    const request = async ({ method, params }: { method: string; params?: unknown }) => {
      if (method === 'eth_accounts') return [written]
      if (method !== 'personal_sign' || !Array.isArray(params))
        throw new Error(`not played: ${method}`)
      asked.push(params[1])
      return account.signMessage({ message: { raw: params[0] } })
    }
    const options = {
      wallet: { request },
      node: world.url,
      database: `letters-${crypto.randomUUID()}`,
    }
    const client = await openNodeClient(options, await wasmBytes())
    expect(client.address).toBe(account.address)
    expect(asked).toEqual([written])
    await client.close()
  },
)
