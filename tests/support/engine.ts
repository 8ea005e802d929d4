/**
 * The engine without a thread boundary: real wasm, fake-indexeddb and a real node in this process,
 * with the network, the wallet and the platform in the test's hands.
 */
import 'fake-indexeddb/auto'
import { readFile } from 'node:fs/promises'
import type { PrivateKeyAccount } from 'viem/accounts'
import { onTestFinished } from 'vitest'
import type { StoredEnvelope } from '../../node/src/store/store.ts'
import {
  createInProcessNode,
  type InProcessNode,
  type InProcessNodeOptions,
} from '../../node/src/testing.ts'
import type { Chains } from '../../src/chains/chains.ts'
import type { Crypto } from '../../src/crypto/crypto.ts'
import { loadWasmCrypto } from '../../src/crypto/wasm.ts'
import { Engine } from '../../src/engine/engine.ts'
import type { Signer } from '../../src/engine/keys/signing.ts'
import type { ClientEvent, ClientState } from '../../src/engine/model.ts'
import { PadlockError, type PadlockErrorCode } from '../../src/errors.ts'
import { networkOver } from '../../src/network/connect.ts'
import type { Network } from '../../src/network/network.ts'
import { browserPlatform } from '../../src/platform/browser.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { decodeHex } from '../../src/protocol/bytes.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import type { Store } from '../../src/store/store.ts'
import { until } from './until.ts'

export const loadTestCrypto = async (): Promise<Crypto> =>
  loadWasmCrypto(
    new Uint8Array(await readFile(new URL('../../wasm/pkg/padlock.wasm', import.meta.url))),
  )

let databases = 0
/** A database that no other test of this process has. */
export const freshDatabase = (): string => `test-${++databases}`

/** Asks for a signature; `asked` counts. */
export type Sign = (text: string, signal: AbortSignal) => Promise<Uint8Array>

export interface OpenOptions {
  readonly account: PrivateKeyAccount
  readonly database: string
  /** Instead of the account's own signature. */
  readonly sign?: Sign
  /** What stands between the engine and the node. */
  readonly network?: (real: Network) => Network
  readonly store?: (real: Store) => Store
  readonly platform?: Partial<Platform>
  readonly signal?: AbortSignal
  readonly renew?: boolean
  /** Contract accounts: the chains that can be asked, and what is known of our account. */
  readonly chains?: Chains
  readonly contractChainId?: bigint
  readonly findChain?: Signer['findChain']
}

export interface EngineWorld {
  readonly node: InProcessNode
  readonly network: Network
  readonly crypto: Crypto
  /** Texts that wallets were asked to sign, in order. */
  readonly asked: readonly string[]
  /** An engine; closed when the test ends. */
  open(options: OpenOptions): Promise<{ readonly engine: Engine; readonly events: ClientEvent[] }>
  /** The store of a database that no engine has open. */
  openStore(database: string): Promise<Store>
}

export { anAccount } from './accounts.ts'
export { until }

export const signWith =
  (account: PrivateKeyAccount): Sign =>
  async (message) =>
    decodeSignature(await account.signMessage({ message }))

/** What the worker's host does: the wallet may take forever, the wait for it ends with the signal. */
export const neverAnswers: Sign = (_, signal) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

/** @param options of the node, such as its clock. */
export const anEngineWorld = async (options: InProcessNodeOptions = {}): Promise<EngineWorld> => {
  const node = createInProcessNode(options)
  const network = networkOver(node.transport)
  const crypto = await loadTestCrypto()
  const asked: string[] = []
  const engines: Engine[] = []
  onTestFinished(async () => {
    for (const engine of engines) await engine.close()
    await node.close()
  })
  return {
    node,
    network,
    crypto,
    asked,
    open: async ({ account, database, ...opening }) => {
      const events: ClientEvent[] = []
      const signal = opening.signal ?? new AbortController().signal
      const sign = opening.sign ?? signWith(account)
      const engine = await Engine.open(
        {
          address: account.address,
          lock: `padlock ${database}`,
          crypto,
          network: opening.network?.(network) ?? network,
          platform: { ...browserPlatform, ...opening.platform },
          openStore: async (onLost, onLostRecord) => {
            const store = await openIdbStore(database, crypto, onLost, onLostRecord)
            return opening.store?.(store) ?? store
          },
          ...(opening.renew === undefined ? {} : { renew: opening.renew }),
          chains: opening.chains,
          contractChainId: opening.contractChainId,
          ...(opening.findChain && { findChain: opening.findChain }),
          signText: (text, _, asking) => {
            asked.push(text)
            return sign(text, asking)
          },
          emit: (event) => events.push(event),
        },
        signal,
      )
      engines.push(engine)
      return { engine, events }
    },
    openStore: async (database) => {
      const store = await openIdbStore(database, crypto, () => undefined)
      onTestFinished(() => store.close())
      return store
    },
  }
}

/** An engine and what it told. */
export interface Opened {
  readonly engine: Engine
  readonly events: ClientEvent[]
}

/** A signal that is never given. */
export const never = new AbortController().signal

/** Resolves with the texts of a conversation as soon as there are that many, in order of arrival. */
export const untilTexts = async (
  { engine }: Opened,
  id: string,
  count: number,
): Promise<string[]> => {
  const texts: string[] = []
  for (let after = '0'; texts.length < count; ) {
    const page = await engine.nextMessages(after, id, never)
    texts.push(...page.messages.map(({ content }) => content ?? ''))
    after = page.cursor
  }
  return texts
}

/** Resolves when the engine's status is, or becomes, one of these. */
export const untilState = async (
  { engine, events }: { readonly engine: Engine; readonly events: readonly ClientEvent[] },
  ...states: readonly ClientState[]
): Promise<ClientState> => {
  while (!states.includes(engine.status.state)) {
    const seen = events.length
    // Events come from the engine's own tasks, so one turn of the loop after the other shows them.
    while (events.length === seen && !states.includes(engine.status.state)) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  return engine.status.state
}

const decodeSignature = (hex: `0x${string}`): Uint8Array => {
  const bytes = decodeHex(hex.slice(2))
  if (!bytes) throw new Error('a signature is hex')
  return bytes
}

/** How often a client warned of something. */
export const countOf = ({ engine }: Opened, code: PadlockErrorCode): number =>
  engine.status.warnings.find((warning) => warning.code === code)?.count ?? 0

export const isSent = async ({ engine }: Opened, id: string, content: string): Promise<boolean> =>
  (await engine.history(id, undefined, 50)).some(
    (one) => one.content === content && one.state === 'sent',
  )

/** What lies in an inbox at the node. */
export const inboxOf = async (
  { node }: Pick<EngineWorld, 'node'>,
  of: Opened | string,
): Promise<readonly StoredEnvelope[]> => {
  const topic = `message-${typeof of === 'string' ? of : of.engine.installationId}`
  const limits = { envelopes: 500, bytes: 1e9 }
  return (await node.store.page([{ topic, afterSequence: 0n }], limits)).envelopes
}

/** The code that a call fails with; 'none' if it does not fail, 'another' if that is no code of ours. */
export const codeOf = (call: Promise<unknown>): Promise<PadlockErrorCode | 'none' | 'another'> =>
  call.then(
    () => 'none',
    (error: unknown) => (error instanceof PadlockError ? error.code : 'another'),
  )

/** What a call fails with. */
export const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: unknown) => error,
  )

/** A node that is not there. */
export const unreachableNode = (real: Network): Network => {
  const fail = async () => {
    throw new PadlockError('network_unavailable')
  }
  return { ...real, getInfo: fail, publish: fail, query: fail, claimPrekeys: fail }
}
