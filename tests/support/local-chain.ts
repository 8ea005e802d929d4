/**
 * A real chain on this machine, with contract accounts of every kind: anvil in a process of its own,
 * behind a relay that can be cut, so that the chain can be away and come back with all it had.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import {
  createTestClient,
  encodeFunctionData,
  type Hex,
  http,
  type PrivateKeyAccount,
  publicActions,
  serializeErc6492Signature,
  walletActions,
} from 'viem'
import { mnemonicToAccount } from 'viem/accounts'
import { foundry } from 'viem/chains'
import { type Address, parseAddress } from '../../src/protocol/ids.ts'
import { type CompiledContract, compileContracts } from './contracts.ts'
import { startProxy } from './proxy.ts'

/** An account that has no code yet, and what gives it code. */
export interface UndeployedWallet {
  readonly address: Address
  readonly factory: Hex
  readonly factoryData: Hex
}

export interface LocalChain {
  readonly id: bigint
  /** The relay's address; it stays when the chain is away. */
  readonly url: string
  /** Deploys a contract of tests/support/contracts by its name. */
  deploy(contract: string, args?: readonly unknown[]): Promise<Address>
  /** An OwnedWallet that is there. */
  deployWallet(owner: Hex): Promise<Address>
  /** An OwnedWallet that its factory can deploy; `salt` tells the wallets of an owner apart. */
  prepareWallet(owner: Hex, salt?: Hex): Promise<UndeployedWallet>
  /** Deploys a wallet that was prepared. */
  deployPrepared(wallet: UndeployedWallet): Promise<void>
  /** The owner gives an OwnedWallet to another one. */
  changeOwner(wallet: Address, owner: PrivateKeyAccount, next: Hex): Promise<void>
  /** An ordinary account gets the code of a contract (EIP-7702). */
  delegate(account: PrivateKeyAccount, contract: Address): Promise<void>
  /** From now on nothing answers at `url`; what is open is cut. */
  leave(): void
  /** The chain answers again. */
  comeBack(): void
  close(): Promise<void>
}

/** `id`: anvil's own if absent. @throws if anvil is not installed or does not start within 20 s. */
export async function startLocalChain(id = 31_337n): Promise<LocalChain> {
  const { process: anvil, port } = await startAnvil(id)
  const proxy = await startProxy()
  proxy.target(port)
  const payer = mnemonicToAccount('test test test test test test test test test test test junk')
  const client = createTestClient({
    mode: 'anvil',
    chain: { ...foundry, id: Number(id) },
    account: payer,
    pollingInterval: 20,
    transport: http(`http://127.0.0.1:${port}`),
  })
    .extend(publicActions)
    .extend(walletActions)

  const mined = async (hash: Hex) => {
    const receipt = await client.waitForTransactionReceipt({ hash })
    if (receipt.status !== 'success') throw new Error('the transaction was reverted')
    return receipt
  }
  const deploy = async (name: string, args: readonly unknown[] = []) => {
    const { abi, bytecode } = contractNamed(name)
    const { contractAddress } = await mined(await client.deployContract({ abi, bytecode, args }))
    if (!contractAddress) throw new Error(`${name} has no address`)
    return canonical(contractAddress)
  }
  let factory: Promise<Address> | undefined

  return {
    id,
    url: proxy.url,
    deploy,
    deployWallet: (owner) => deploy('OwnedWallet', [owner]),
    prepareWallet: async (owner, salt = `0x${'0'.repeat(64)}`) => {
      factory ??= deploy('WalletFactory')
      const { abi } = contractNamed('WalletFactory')
      const call = { address: await factory, abi, args: [owner, salt] }
      const address = await client.readContract({ ...call, functionName: 'addressOf' })
      return {
        address: canonical(String(address)),
        factory: call.address,
        factoryData: encodeFunctionData({ ...call, functionName: 'deploy' }),
      }
    },
    deployPrepared: async (wallet) => {
      await mined(await client.sendTransaction({ to: wallet.factory, data: wallet.factoryData }))
    },
    changeOwner: async (wallet, owner, next) => {
      await client.setBalance({ address: owner.address, value: 10n ** 18n })
      const { abi } = contractNamed('OwnedWallet')
      const call = { address: wallet, abi, functionName: 'changeOwner', args: [next] }
      await mined(await client.writeContract({ ...call, account: owner }))
    },
    delegate: async (account, contract) => {
      const authorization = await client.signAuthorization({ account, contractAddress: contract })
      // To anyone but the account itself, whose new code would be called.
      const to = payer.address
      await mined(await client.sendTransaction({ to, authorizationList: [authorization] }))
    },
    leave: () => {
      proxy.target(undefined)
      proxy.cut()
    },
    comeBack: () => proxy.target(port),
    close: async () => {
      if (anvil.exitCode === null && anvil.signalCode === null) {
        const ended = once(anvil, 'exit')
        anvil.kill('SIGKILL')
        await ended
      }
      await proxy.close()
    },
  }
}

/** Wraps the signature of an account that is not deployed yet (ERC-6492). */
export const wrapSignature = (
  { factory, factoryData }: Pick<UndeployedWallet, 'factory' | 'factoryData'>,
  signature: Hex,
): Hex => serializeErc6492Signature({ address: factory, data: factoryData, signature })

function contractNamed(name: string): CompiledContract {
  const contract = compileContracts().get(name)
  if (!contract) throw new Error(`there is no contract ${name} in tests/support/contracts`)
  return contract
}

function canonical(text: string): Address {
  const address = parseAddress(text)
  if (!address.ok) throw new Error(address.why)
  return address.value
}

/** Where the package of this machine has it; there is one for Linux on x64 in package.json. */
function findAnvil(): string {
  try {
    return createRequire(import.meta.url).resolve('@foundry-rs/anvil-linux-amd64/bin/anvil')
  } catch {
    throw new Error(
      'These tests need anvil, which npm installs on Linux on x64 only: its optional dependency is missing.',
    )
  }
}

async function startAnvil(id: bigint): Promise<{ process: ChildProcess; port: number }> {
  const child = spawn(findAnvil(), ['--port', '0', '--chain-id', String(id), '--threads', '1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  // A run of tests that ends early leaves no chain behind.
  process.once('exit', () => child.kill('SIGKILL'))
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
  try {
    return { process: child, port: await readPort(child) }
  } finally {
    clearTimeout(late)
  }
}

/** The port in the line that anvil prints when it listens. */
async function readPort(child: ChildProcess): Promise<number> {
  const { stdout } = child
  if (!stdout) throw new Error('anvil has no output')
  return new Promise((resolve, reject) => {
    let printed = ''
    stdout.on('data', (chunk) => {
      // What comes later is read as well, or the pipe fills and anvil stands still.
      if (printed.length < 100_000) printed += String(chunk)
      const port = /Listening on 127\.0\.0\.1:(\d+)/.exec(printed)?.[1]
      if (port) resolve(Number(port))
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`anvil ended before it listened: ${printed}`)))
  })
}
