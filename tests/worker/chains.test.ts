/**
 * Contract accounts across the thread boundary: the engine asks, the page's own clients answer, and the
 * wallet says by itself what its account is.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPublicClient, createWalletClient, type Hex, http } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningNode, startNode } from '../../node/src/node.ts'
import type { Client, ClientOptions } from '../../src/facade/client.ts'
import type { Message } from '../../src/worker/contract.ts'
import { anAccount } from '../support/accounts.ts'
import { type LocalChain, startLocalChain, wrapSignature } from '../support/local-chain.ts'
import { openNodeClient, wasmBytes } from '../support/node-world.ts'

let chain: LocalChain
let node: RunningNode
let data: string
const clients: Client[] = []
beforeAll(async () => {
  chain = await startLocalChain()
  data = await mkdtemp(join(tmpdir(), 'padlock-chains-'))
  const chains = new Map([[chain.id, chain.url]])
  node = await startNode({ data, port: 0, host: '127.0.0.1', chains })
})
afterAll(async () => {
  for (const client of clients) await client.close()
  await node.close()
  await chain.close()
  await rm(data, { recursive: true, force: true })
})

const open = async (options: Omit<ClientOptions, 'node' | 'database'>): Promise<Client> => {
  const database = `chains-${crypto.randomUUID()}`
  const client = await openNodeClient({ ...options, node: node.url, database }, await wasmBytes())
  clients.push(client)
  return client
}

const transport = () => http(chain.url, { retryCount: 0 })
const publicClient = () => createPublicClient({ transport: transport() })
const chainNumber = () => Number(chain.id)

/** An account that counts what it is asked to sign. */
const anOwner = () => {
  const account = anAccount()
  const asked: string[] = []
  const signMessage = ({ message }: { message: string }): Promise<Hex> => {
    asked.push(message)
    return account.signMessage({ message })
  }
  return { account, asked, signMessage }
}

const firstOf = async (client: Client): Promise<Message> => {
  for await (const message of client.messages({ since: '0' })) if (!message.isOwn) return message
  throw new Error('the stream ended')
}

const lastLine = (text: string | undefined) => text?.split('\n').at(-1)

test('a contract account and an ordinary one write to each other, by URL and by viem client', async () => {
  const owner = anOwner()
  const address = await chain.deployWallet(owner.account.address)
  const safe = await open({
    wallet: { address, signMessage: owner.signMessage },
    contract: { chainId: chainNumber() },
    chains: { [chainNumber()]: publicClient() },
  })
  expect(owner.asked.map(lastLine)).toEqual([`Chain ID: ${chain.id}`])
  const bob = await open({
    wallet: anAccount(),
    chains: { [chainNumber()]: chain.url },
  })
  const chat = await bob.conversation(address)
  await chat.send('gm', { until: 'sent' })
  expect(await firstOf(safe)).toMatchObject({ content: 'gm', sender: bob.address })
  await (await safe.conversation(bob.address)).send('gm too', { until: 'sent' })
  expect(await firstOf(bob)).toMatchObject({ content: 'gm too', sender: safe.address })
})

test('who names no chain sees an unverified device, and the message waits', async () => {
  const owner = anOwner()
  const address = await chain.deployWallet(owner.account.address)
  await open({
    wallet: { address, signMessage: owner.signMessage },
    contract: { chainId: chainNumber() },
  })
  const bob = await open({ wallet: anAccount() })
  expect((await bob.installations(address)).map(({ state }) => state)).toEqual(['unverified'])
  expect(await bob.canMessage(address)).toBe(false)
  // It is there: what it lacks is the word of its chain.
  const waiting = (async () => {
    for await (const event of bob.events()) {
      if (event.kind === 'message-state') return event.message.reason
    }
    return undefined
  })()
  await (await bob.conversation(address)).send('gm')
  expect(await waiting).toBe('unverified')
})

test('a wallet on the chain of its contract needs no option', async () => {
  const owner = anOwner()
  const address = (await chain.deployWallet(owner.account.address)) as Hex
  const real = createWalletClient({ account: address, transport: transport() })
  await open({ wallet: { ...real, signMessage: owner.signMessage } })
  expect(owner.asked.map(lastLine)).toEqual([`Chain ID: ${chain.id}`])
})

test('a smart account that is not deployed yet is asked twice, and counts by its wrapped signature', async () => {
  const owner = anOwner()
  const wallet = await chain.prepareWallet(owner.account.address)
  const safe = await open({
    wallet: {
      address: wallet.address,
      client: publicClient(),
      signMessage: async (arg: { message: string }) =>
        wrapSignature(wallet, await owner.signMessage(arg)),
    },
  })
  expect(owner.asked.map(lastLine)).toEqual([
    expect.stringMatching(/^Installation Key: /),
    `Chain ID: ${chain.id}`,
  ])
  const bob = await open({
    wallet: anAccount(),
    chains: { [chainNumber()]: publicClient() },
  })
  expect(await bob.canMessage(safe.address)).toBe(true)
})

test('an ordinary account that delegates to a contract registers with its key', async () => {
  const owner = anOwner()
  await chain.delegate(owner.account, await chain.deploy('SelfOwnedWallet'))
  const { address } = owner.account
  const real = createWalletClient({ account: address, transport: transport() })
  await open({ wallet: { ...real, signMessage: owner.signMessage } })
  // Once, for a text with the chain: its contract might have signed.
  expect(owner.asked.map(lastLine)).toEqual([`Chain ID: ${chain.id}`])
  // It is the key's: nobody needs the chain.
  const bob = await open({ wallet: anAccount() })
  expect(await bob.canMessage(address)).toBe(true)
})

test('anything but a chain is refused before the wallet is asked', async () => {
  const owner = anOwner()
  const wallet = { address: owner.account.address, signMessage: owner.signMessage }
  for (const options of [
    { wallet, contract: { chainId: 0 } },
    { wallet, contract: { chainId: 1.5 } },
    { wallet, chains: { 1: 'rpc.example' } },
    { wallet, chains: { 0: 'https://rpc.example' } },
  ]) {
    await expect(open(options)).rejects.toMatchObject({ code: 'invalid_argument' })
  }
  expect(owner.asked).toEqual([])
})
