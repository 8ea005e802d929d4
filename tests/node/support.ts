/** What the node's tests share: clients, refusals, and accounts whose keys and signatures are real. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import { type Code, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { privateKeyToAccount } from 'viem/accounts'
import {
  type CaughtUp,
  type Envelopes,
  ErrorDetailSchema,
  type Heartbeat,
  type InboxProof,
  InboxProofSchema,
  NodeService,
  type PrekeyStock,
  type Started,
  type SubscribeResponse,
} from '../../src/gen/padlock/v1/node_pb.ts'
import { buildContactBundle, grantText } from '../../src/protocol/contact.ts'
import {
  type Address,
  deriveInstallationId,
  type IdentityKeys,
  type InstallationId,
  parseAddress,
} from '../../src/protocol/ids.ts'
import { buildPrekeyUpload, type SignedPrekey } from '../../src/protocol/prekey.ts'
import type { Checked } from '../../src/protocol/result.ts'
import { buildRevocation } from '../../src/protocol/revocation.ts'
import {
  inboxSigningBytes,
  prekeySigningBytes,
  sealingKeySigningBytes,
} from '../../src/protocol/signing-bytes.ts'
import { buildRevocationText } from '../../src/protocol/signing-texts.ts'
import type { WalletSignature } from '../../src/protocol/wallet-association.ts'

export const nodeClient = (transport: Transport) => createClient(NodeService, transport)
export type NodeClient = ReturnType<typeof nodeClient>

/** A node clock that only moves when a test turns it. */
export interface TestClock {
  (): bigint
  nowNs: bigint
}

export const secondNs = 1_000_000_000n
export const minuteNs = 60n * secondNs
export const dayNs = 24n * 60n * minuteNs

export function testClock(startNs = 1_800_000_000n * secondNs): TestClock {
  const clock = () => clock.nowNs
  clock.nowNs = startNs
  return clock
}

export interface SeenRefusal {
  readonly status: Code
  readonly code: string | undefined
  readonly envelopeIndex: number | undefined
  readonly retryAfterMs: bigint | undefined
}

/** How a call was refused; fails if it was not. */
export async function refusalOf(call: Promise<unknown>): Promise<SeenRefusal> {
  let refused: SeenRefusal | undefined
  await call.catch((error: unknown) => {
    refused = readRefusal(error)
  })
  if (refused === undefined) throw new Error('the call was not refused')
  return refused
}

export function readRefusal(error: unknown): SeenRefusal {
  const connectError = ConnectError.from(error)
  const [detail] = connectError.findDetails(ErrorDetailSchema)
  return {
    status: connectError.code,
    code: detail?.code,
    envelopeIndex: detail?.envelopeIndex,
    retryAfterMs: detail?.retryAfterMs,
  }
}

export function must<T>(checked: Checked<T>): T {
  if (!checked.ok) throw new Error(`${checked.code}: ${checked.why}`)
  return checked.value
}

/** 32 bytes that a name stands for. */
export const bytesFor = (name: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(createHash('sha256').update(name).digest())

export interface TestAccount {
  readonly address: Address
  readonly signText: (text: string) => Promise<Uint8Array>
}

/** A plain wallet; the same name gives the same one. */
export function testAccount(name: string): TestAccount {
  const wallet = privateKeyToAccount(`0x${Buffer.from(bytesFor(`wallet ${name}`)).toString('hex')}`)
  return {
    address: must(parseAddress(wallet.address)),
    async signText(text) {
      const signature = await wallet.signMessage({ message: text })
      return Uint8Array.from(Buffer.from(signature.slice(2), 'hex'))
    },
  }
}

const currentTime = '2026-11-20T08:13:00.000+01:00'
// An Ed25519 private key in PKCS #8 is this and the seed (RFC 8410 section 7).
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')

/** An installation of an account; the same names give the same one. */
export class TestInstallation {
  readonly account: TestAccount
  readonly name: string
  readonly keys: IdentityKeys
  readonly id: InstallationId
  readonly #signer: KeyObject

  constructor(account: TestAccount, name: string) {
    this.account = account
    this.name = name
    const seed = bytesFor(`ed25519 ${name}`)
    this.#signer = createPrivateKey({
      key: Buffer.concat([pkcs8Head, seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const { x } = createPublicKey(this.#signer).export({ format: 'jwk' })
    this.keys = {
      curve25519: bytesFor(`curve25519 ${name}`),
      ed25519: Uint8Array.from(Buffer.from(x ?? '', 'base64url')),
    }
    this.id = must(deriveInstallationId(this.keys))
  }

  get inbox(): string {
    return `message-${this.id}`
  }

  sign(message: Uint8Array): Uint8Array {
    return Uint8Array.from(sign(null, message, this.#signer))
  }

  /** Its contact bundle, ready to publish. */
  async bundle(createdNs: bigint, address = this.account.address) {
    const grant = { address, currentTime, keys: this.keys }
    const signature = await this.account.signText(
      grantText({ ...grant, signature: { kind: 'eip191', signature: new Uint8Array() } }),
    )
    return this.#bundleWith({ kind: 'eip191', signature }, createdNs, address)
  }

  /** The same of a contract account, which a contract on chain 1 would have to confirm. */
  contractBundle(createdNs: bigint) {
    const signature = { kind: 'erc1271', chainId: 1n, signature: new Uint8Array(65) } as const
    return this.#bundleWith(signature, createdNs, this.account.address)
  }

  #bundleWith(signature: WalletSignature, createdNs: bigint, address: Address) {
    const key = bytesFor(`sealing ${this.name} ${createdNs}`)
    const signing = sealingKeySigningBytes({ address, installationId: this.id, createdNs, key })
    const message = buildContactBundle({
      ...{ address, currentTime, keys: this.keys, signature },
      sealingKey: { key, createdNs, signature: this.sign(signing) },
    })
    return { topic: `contact-${address}`, message }
  }

  /** A prekey upload, ready to publish. */
  upload(options: {
    readonly createdNs: bigint
    readonly oneTime: number
    readonly fallback?: boolean
    readonly replace?: boolean
  }) {
    const { createdNs, replace = false } = options
    const prekey = (kind: SignedPrekey['kind'], label: string): SignedPrekey => {
      const key = bytesFor(`prekey ${this.name} ${createdNs} ${label}`)
      const signing = prekeySigningBytes({ kind, installationId: this.id, createdNs, key })
      return { kind, key, createdNs, signature: this.sign(signing) }
    }
    const message = buildPrekeyUpload({
      installationId: this.id,
      oneTime: Array.from({ length: options.oneTime }, (_, n) => prekey('one-time', `${n}`)),
      ...(options.fallback === true ? { fallback: prekey('fallback', 'fallback') } : {}),
      replace,
    })
    return { topic: `prekey-${this.id}`, message }
  }

  /** A proof that it owns its inbox. */
  proof(nodeId: Uint8Array, expiresNs: bigint): InboxProof {
    const signing = inboxSigningBytes({ nodeId, installationId: this.id, expiresNs })
    return create(InboxProofSchema, {
      keys: this.keys,
      expiresNs,
      signature: { signature: this.sign(signing) },
    })
  }
}

/** A revocation of installations of one account, ready to publish. */
export async function revocation(account: TestAccount, installations: TestInstallation[]) {
  const ordered = [...installations].sort((a, b) => (a.id < b.id ? -1 : 1))
  const fields = {
    address: account.address,
    currentTime,
    installations: ordered.map(({ keys }) => keys),
  }
  const text = must(buildRevocationText({ ...fields, chainId: undefined }))
  const signature = await account.signText(text)
  const message = buildRevocation({ ...fields, signature: { kind: 'eip191', signature } })
  return { topic: `revoked-${account.address}`, message }
}

/** An envelope for an inbox: so many bytes, made from a name. */
export function inboxEnvelope(to: TestInstallation, name: string, length = 64) {
  const message = new Uint8Array(length)
  message.set(Buffer.from(name).subarray(0, length))
  return { topic: to.inbox, message }
}

/** Registers a new account with one installation. */
export async function register(client: NodeClient, name: string, createdNs: bigint) {
  const installation = new TestInstallation(testAccount(name), name)
  await client.publish({ envelopes: [await installation.bundle(createdNs)] })
  return installation
}

/** A subscription that is read event by event. */
export class TestStream {
  readonly #events: AsyncIterator<SubscribeResponse>
  readonly #abort = new AbortController()

  constructor(
    client: NodeClient,
    request: Parameters<NodeClient['subscribe']>[0],
    options: { readonly headers?: Record<string, string> } = {},
  ) {
    const stream = client.subscribe(request, { ...options, signal: this.#abort.signal })
    this.#events = stream[Symbol.asyncIterator]()
  }

  /** The next event; fails when the stream ends. */
  async next(): Promise<SubscribeResponse['event']> {
    const { done, value } = await this.#events.next()
    if (done === true) throw new Error('the stream ended')
    return value.event
  }

  /** The next event of a kind; others before it are dropped. */
  async nextOf<K extends keyof EventValues>(kind: K): Promise<EventValues[K]> {
    for (;;) {
      const event: Event = await this.next()
      // The generated union pairs each case with its value.
      if (event.case === kind) return event.value as EventValues[K]
    }
  }

  /** Reads envelopes until there are this many. */
  async envelopes(count: number) {
    const envelopes = []
    while (envelopes.length < count) {
      envelopes.push(...(await this.nextOf('envelopes')).envelopes)
    }
    return envelopes
  }

  /** Reads to the end. @returns why it came. */
  async ending(): Promise<SeenRefusal> {
    try {
      for (;;) await this.next()
    } catch (error) {
      return readRefusal(error)
    }
  }

  close(): void {
    this.#abort.abort()
  }
}

type Event = SubscribeResponse['event']

interface EventValues {
  started: Started
  envelopes: Envelopes
  caughtUp: CaughtUp
  heartbeat: Heartbeat
  prekeyStock: PrekeyStock
}

/** A page of a store without bounds that matter. */
export const everything = { envelopes: 500, bytes: 64 * 1024 * 1024 }
