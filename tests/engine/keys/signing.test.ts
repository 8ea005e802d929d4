/** What the wallet is asked to sign, how often, and when its account is a contract (docs/protocol.md section 3). */

import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import type { ContractQuestion, SignatureStatus } from '../../../src/chains/chains.ts'
import { type Signer, signAsWallet } from '../../../src/engine/keys/signing.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { AccountCode } from '../../../src/protocol/account-code.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { parseAddress } from '../../../src/protocol/ids.ts'
import { hashPersonalMessage } from '../../../src/protocol/wallet-signature.ts'
import { never, signWith } from '../../support/engine.ts'

const account = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
const parsed = parseAddress(account.address)
if (!parsed.ok) throw new Error(parsed.why)
const address = parsed.value

const signing = {
  address,
  currentTime: '2026-11-21T08:13:00.000Z',
  buildText: (chainId: bigint | undefined) => (chainId === undefined ? 'plain' : `on ${chainId}`),
}

/** A wallet that keeps what it was asked for. */
const aSigner = (given: Partial<Signer> & { readonly by?: typeof account } = {}) => {
  const asked: string[] = []
  const signer: Signer = {
    signText: async (text, _, signal) => {
      asked.push(text)
      return signWith(given.by ?? account)(text, signal)
    },
    ...given,
  }
  return { signer, asked }
}

const on = (chainId: bigint, code: AccountCode | undefined) => async () => ({ chainId, code })

const saying = (word: SignatureStatus) => {
  const questions: ContractQuestion[] = []
  const verify = async (question: ContractQuestion) => {
    questions.push(question)
    return word
  }
  return { questions, chains: { ids: new Set([5n]), verify } }
}

const codeOf = async (call: Promise<unknown>): Promise<unknown> => {
  const error: unknown = await call.then(
    () => 'no error',
    (error: unknown) => error,
  )
  return error instanceof PadlockError ? error.code : error
}

test('a key signs once, without a chain, whatever chain its wallet is on', async () => {
  for (const findChain of [undefined, on(5n, 'none'), async () => undefined]) {
    const { signer, asked } = aSigner(findChain && { findChain })
    expect(await signAsWallet(signer, signing, never)).toMatchObject({ kind: 'eip191' })
    expect(asked).toEqual(['plain'])
  }
})

test('a contract account that the application names signs once, with its chain', async () => {
  const { signer, asked } = aSigner({ by: other, contractChainId: 7n, findChain: on(5n, 'none') })
  expect(await signAsWallet(signer, signing, never)).toMatchObject({ kind: 'erc1271', chainId: 7n })
  expect(asked).toEqual(['on 7'])
})

test('an address with code on the wallet’s chain signs once, with that chain', async () => {
  const { signer, asked } = aSigner({ by: other, findChain: on(5n, 'contract') })
  expect(await signAsWallet(signer, signing, never)).toMatchObject({ kind: 'erc1271', chainId: 5n })
  expect(asked).toEqual(['on 5'])
})

test('an account that is not deployed yet is asked once more, with the chain', async () => {
  const asked: string[] = []
  const signer: Signer = {
    signText: async (text) => {
      asked.push(text)
      return new Uint8Array(600)
    },
    findChain: on(5n, 'none'),
  }
  const signature = await signAsWallet(signer, signing, never)
  expect(signature).toEqual({ kind: 'erc1271', chainId: 5n, signature: new Uint8Array(600) })
  expect(asked).toEqual(['plain', 'on 5'])
})

test('a key’s signature by an account whose code the wallet does not tell may be a contract’s', async () => {
  const { chains, questions } = saying('invalid')
  const { signer, asked } = aSigner({ by: other, findChain: on(5n, undefined), chains })
  expect(await codeOf(signAsWallet(signer, signing, never))).toBe('wallet_wrong_account')
  expect(asked).toEqual(['plain', 'on 5'])
  expect(questions).toEqual([
    {
      chainId: 5n,
      address,
      hash: hashPersonalMessage('on 5'),
      signature: await signWith(other)('on 5', never),
    },
  ])
})

test('an account without code that signs like a key is never taken for a contract', async () => {
  const { chains, questions } = saying('valid')
  const withV = (v: number) => async (text: string) => {
    const signature = Uint8Array.from(await signWith(account)(text, never))
    signature[64] = v
    return signature
  }
  for (const [signText, error] of [
    [
      async (text: string) => signWith(other)(text, never),
      { code: 'wallet_wrong_account', details: { signedBy: other.address } },
    ],
    [withV(2), { code: 'wallet_failed', details: { walletAnswer: '65 bytes' } }],
    [
      async () => new Uint8Array(65),
      { code: 'wallet_failed', details: { walletAnswer: '65 bytes' } },
    ],
    [
      async () => new Uint8Array(64),
      { code: 'wallet_failed', details: { walletAnswer: '64 bytes' } },
    ],
    [
      async () => new Uint8Array(),
      { code: 'wallet_failed', details: { walletAnswer: 'an empty signature' } },
    ],
  ] as const) {
    const asked: string[] = []
    const signer: Signer = {
      signText: async (text) => {
        asked.push(text)
        return signText(text)
      },
      findChain: on(5n, 'none'),
      chains,
    }
    const found = signAsWallet(signer, signing, never)
    await expect(found).rejects.toMatchObject(error)
    expect(asked).toEqual(['plain'])
  }
  expect(questions).toEqual([])
})

test('every form in which wallets write a key’s signature is understood', async () => {
  const plain = Uint8Array.from(await signWith(account)('plain', never))
  const isOdd = plain[64] === 28
  const forms = [0, 27, 31, 35, 37].map((v) =>
    Uint8Array.of(...plain.slice(0, 64), v + (isOdd ? 1 : 0)),
  )
  const short = plain.slice(0, 64)
  short[32] = (short[32] ?? 0) | (isOdd ? 0x80 : 0)
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const high = order - BigInt(`0x${encodeHex(plain.slice(32, 64))}`)
  const highS = Buffer.from(high.toString(16).padStart(64, '0'), 'hex')
  const flipped = Uint8Array.of(...plain.slice(0, 32), ...highS, isOdd ? 27 : 28)
  for (const form of [...forms, short, flipped]) {
    const signer: Signer = { signText: async () => form, findChain: on(5n, 'none') }
    expect(await signAsWallet(signer, signing, never)).toEqual({ kind: 'eip191', signature: plain })
  }
})

test('a contract account that has not signed yet says so; its wallet is asked once', async () => {
  for (const given of [
    { contractChainId: 7n },
    { findChain: on(5n, 'contract') },
    { findChain: on(5n, undefined) },
  ]) {
    let asked = 0
    const signText = async () => {
      asked += 1
      return new Uint8Array()
    }
    expect(await codeOf(signAsWallet({ signText, ...given }, signing, never))).toBe(
      'wallet_incomplete',
    )
    expect(asked).toBe(1)
  }
})

test('a chain that cannot be asked now stops nobody: the node asks it', async () => {
  const { chains } = saying('unreachable')
  const { signer } = aSigner({ by: other, contractChainId: 5n, chains })
  expect(await signAsWallet(signer, signing, never)).toMatchObject({ kind: 'erc1271', chainId: 5n })
})

test('without a chain nothing is asked for again', async () => {
  for (const findChain of [undefined, async () => undefined]) {
    const wrong = aSigner({ by: other, ...(findChain && { findChain }) })
    expect(await codeOf(signAsWallet(wrong.signer, signing, never))).toBe('wallet_wrong_account')
    expect(wrong.asked).toEqual(['plain'])
    const contract = { signText: async () => new Uint8Array(600), ...(findChain && { findChain }) }
    expect(await codeOf(signAsWallet(contract, signing, never))).toBe('invalid_argument')
  }
})

test('a contract’s signature has 8 KiB at most', async () => {
  for (const [length, expected] of [
    [8_192, 'no error'],
    [8_193, 'wallet_failed'],
  ] as const) {
    const signer = { signText: async () => new Uint8Array(length), contractChainId: 5n }
    expect(await codeOf(signAsWallet(signer, signing, never))).toBe(expected)
  }
})

test('a contract that signs on chain takes an empty signature, and its wallet is not asked for what it signed', async () => {
  const empty = new Uint8Array()
  const expected = { kind: 'erc1271', chainId: 5n, signature: empty }
  const { chains, questions } = saying('valid')
  const given = { signText: async () => empty, findChain: on(5n, 'contract'), chains }
  expect(await signAsWallet(aSigner(given).signer, signing, never)).toEqual(expected)
  expect(questions.map(({ signature }) => signature)).toEqual([empty])
  const again = aSigner({ findChain: on(5n, 'contract'), chains })
  expect(await signAsWallet(again.signer, { ...signing, wasAsked: true }, never)).toEqual(expected)
  expect(again.asked).toEqual([])
  // Its owners have not signed yet.
  const waiting = aSigner({ ...given, ...saying('invalid') })
  const wasAsked = { ...signing, wasAsked: true }
  expect(await codeOf(signAsWallet(waiting.signer, wasAsked, never))).toBe('wallet_incomplete')
})

test('where a contract may answer for the address, one signature is asked for, with the chain; whose it is, it shows', async () => {
  for (const given of [
    { findChain: on(5n, 'delegated') },
    { findChain: on(5n, 'contract') },
    { contractChainId: 5n },
  ]) {
    // The key of a delegated account signs plainly, or the contract's wallet wraps it.
    const key = aSigner(given)
    expect(await signAsWallet(key.signer, signing, never)).toEqual({
      kind: 'eip191',
      chainId: 5n,
      signature: await signWith(account)('on 5', never),
    })
    expect(key.asked).toEqual(['on 5'])
    const wrapped = aSigner({ ...given, signText: async () => new Uint8Array(85) })
    expect(await signAsWallet(wrapped.signer, signing, never)).toEqual({
      kind: 'erc1271',
      chainId: 5n,
      signature: new Uint8Array(85),
    })
  }
})

test('a wallet that never answers is given up when the caller gives up', async () => {
  const stop = new AbortController()
  const signer = { signText: () => new Promise<never>(() => undefined), contractChainId: 5n }
  const call = signAsWallet(signer, signing, stop.signal)
  stop.abort()
  expect(await codeOf(call)).toBe('aborted')
})
