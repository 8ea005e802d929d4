/** Grant and revocation texts, and recovering who signed them. */

import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { getPublicKey, hashes, sign } from '@noble/secp256k1'
import fc from 'fast-check'
import { hashMessage } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { decodeHex, encodeHex } from '../../src/protocol/bytes.ts'
import { grantText, verifyGrant } from '../../src/protocol/contact.ts'
import { type IdentityKeys, parseCanonicalAddress } from '../../src/protocol/ids.ts'
import { verifyRevocation } from '../../src/protocol/revocation.ts'
import {
  buildGrantText,
  buildRevocationText,
  formatCurrentTime,
  isCurrentTime,
} from '../../src/protocol/signing-texts.ts'
import type { WalletSignature } from '../../src/protocol/wallet-association.ts'
import { readAssociation } from '../../src/protocol/wallet-association.ts'
import {
  checkWalletSignatureForm,
  hashPersonalMessage,
  recoverAddress,
} from '../../src/protocol/wallet-signature.ts'
import { expectResult, Fields, testVectors, type Vector } from '../vectors/vectors.ts'
import { addresses, check, identityKeys, passed } from './support.ts'

// The vectors' signatures are deterministic (RFC 6979), so they can be made again here.
hashes.sha256 = sha256
hashes.hmacSha256 = (key, message) => hmac(sha256, key, message)

const readKeys = (vector: Vector): readonly IdentityKeys[] =>
  vector.input.objects('keys').map((keys) => ({
    curve25519: keys.bytes('curve25519'),
    ed25519: keys.bytes('ed25519'),
  }))

const readTextFields = (vector: Vector) => ({
  address: passed(parseCanonicalAddress(vector.input.text('address'))),
  currentTime: vector.input.text('current_time'),
  chainId: vector.input.integerOrNull('chain_id') ?? undefined,
})

function only<T>(items: readonly T[]): T {
  const [item] = items
  if (item === undefined || items.length > 1) throw new Error('not exactly one')
  return item
}

function expectSigned(vector: Vector, text: string): void {
  const output = new Fields(vector.output ?? null)
  const hash = hashPersonalMessage(text)
  expect(text).toBe(output.text('text'))
  expect(encodeHex(hash)).toBe(output.text('hash'))
  const recovered = sign(hash, vector.input.bytes('wallet_secret'), {
    prehash: false,
    format: 'recovered',
  })
  const signature = Uint8Array.of(...recovered.subarray(1), 27 + (recovered[0] ?? 0))
  expect(encodeHex(signature)).toBe(output.text('signature'))
  expect(passed(recoverAddress(hash, signature))).toBe(output.text('recovered'))
}

/** A signature over a text with a chain line, which only the recovery itself can be asked about. */
const isOnChain = (vector: Vector): boolean => vector.input.integerOrNull('chain_id') !== null

testVectors('grants', {
  grant: (vector) =>
    expectSigned(
      vector,
      buildGrantText({ ...readTextFields(vector), keys: only(readKeys(vector)) }),
    ),
  revoke: (vector) => {
    const text = buildRevocationText({ ...readTextFields(vector), installations: readKeys(vector) })
    if (text.ok) expectSigned(vector, text.value)
    else expectResult(vector, text)
  },
  time: (vector) => {
    expect(isCurrentTime(vector.input.text('text'))).toBe(vector.code === undefined)
  },
  verify_grant: (vector) => {
    const fields = { ...readTextFields(vector), keys: only(readKeys(vector)) }
    const signature = vector.input.bytes('signature')
    const form = checkWalletSignatureForm(signature)
    if (!form.ok) {
      expectResult(vector, form)
      return
    }
    if (isOnChain(vector)) {
      const recovered = recoverAddress(hashPersonalMessage(buildGrantText(fields)), signature)
      expect(vector.code).toBe('bad_signature')
      expect(recovered.ok && recovered.value === fields.address).toBe(false)
      return
    }
    const { keys, address, currentTime } = fields
    const sealingKey = { key: new Uint8Array(32), createdNs: 0n, signature: new Uint8Array(64) }
    const bundle = {
      keys,
      address,
      currentTime,
      signature: { kind: 'eip191', signature } as const,
      sealingKey,
    }
    expectResult(vector, verifyGrant(bundle), address)
  },
  verify_revocation: (vector) => {
    const { address, currentTime } = readTextFields(vector)
    const signature: WalletSignature = {
      kind: 'eip191',
      signature: vector.input.bytes('signature'),
    }
    const installations = readKeys(vector)
    expectResult(
      vector,
      verifyRevocation({ address, currentTime, signature, installations }),
      address,
    )
  },
})

test('section 3: a wallet of another library signs a grant that verifies', async () => {
  const secret = `0x${'42'.repeat(32)}` as const
  const account = privateKeyToAccount(secret)
  const address = passed(parseCanonicalAddress(account.address.toLowerCase()))
  const keys = { curve25519: new Uint8Array(32).fill(1), ed25519: new Uint8Array(32).fill(2) }
  const currentTime = formatCurrentTime(1_795_162_380_123)
  expect(currentTime).toBe('2026-11-20T08:13:00.123Z')
  const message = buildGrantText({ address, currentTime, keys })
  const signature = decodeHex((await account.signMessage({ message })).slice(2))
  if (signature === undefined) throw new Error('not hex')
  const sealingKey = { key: new Uint8Array(32), createdNs: 0n, signature: new Uint8Array(64) }
  const grant = {
    keys,
    address,
    currentTime,
    signature: { kind: 'eip191', signature } as const,
    sealingKey,
  }
  expect(verifyGrant(grant)).toEqual({ ok: true, value: address })
  expect(verifyGrant({ ...grant, keys: { ...keys, ed25519: keys.curve25519 } })).toMatchObject({
    ok: false,
    code: 'bad_signature',
  })
})

test('section 3: any wallet’s signature recovers to it, and its high-s twin is refused', () => {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  check(fc.tuple(fc.bigInt({ min: 1n, max: order - 1n }), fc.string()), ([key, text]) => {
    const secret = decodeHex(key.toString(16).padStart(64, '0'))
    if (secret === undefined) throw new Error('not hex')
    const hash = hashPersonalMessage(text)
    const made = sign(hash, secret, { prehash: false, format: 'recovered' })
    const parity = made[0] ?? 0
    const signature = Uint8Array.of(...made.subarray(1), 27 + parity)
    const address = privateKeyToAccount(`0x${encodeHex(secret)}`).address.toLowerCase()
    expect(recoverAddress(hash, signature)).toEqual({ ok: true, value: address })

    const s = BigInt(`0x${encodeHex(made.subarray(33))}`)
    const highS = decodeHex((order - s).toString(16).padStart(64, '0'))
    if (highS === undefined) throw new Error('not hex')
    const twin = Uint8Array.of(...made.subarray(1, 33), ...highS, 28 - parity)
    expect(recoverAddress(hash, twin)).toMatchObject({ ok: false, code: 'bad_signature' })
  })
  expect(getPublicKey(new Uint8Array(32).fill(1)).length).toBe(33)
})

test('section 3: a text is hashed by its length in bytes, as other libraries do', () => {
  check(fc.string({ unit: 'grapheme' }), (text) => {
    expect(`0x${encodeHex(hashPersonalMessage(text))}`).toBe(hashMessage(text))
  })
  expect(`0x${encodeHex(hashPersonalMessage('é👋'))}`).toBe(hashMessage('é👋'))
})

test('section 3: no 65 bytes make recovery throw', () => {
  check(fc.uint8Array({ minLength: 63, maxLength: 66 }), (bytes) => {
    const signature = Uint8Array.from(bytes)
    if (signature.length === 65) signature[64] = 27 + ((bytes[64] ?? 0) & 1)
    const result = recoverAddress(new Uint8Array(32), signature)
    if (signature.length !== 65) expect(result).toMatchObject({ ok: false, code: 'malformed' })
    else if (!result.ok) expect(result.code).toBe('bad_signature')
  })
})

test('section 3: a time that would add a line is never put into a text', () => {
  check(fc.tuple(addresses, identityKeys), ([address, keys]) => {
    const currentTime = `2026-11-20T08:13:00.000Z\nAccount Address: ${address}`
    expect(isCurrentTime(currentTime)).toBe(false)
    expect(() => buildGrantText({ address, currentTime, keys })).toThrow('another form')
  })
})

test('section 3: a contract’s signature is not tried as a plain one', () => {
  const secret = new Uint8Array(32).fill(7)
  const account = privateKeyToAccount(`0x${encodeHex(secret)}`)
  const address = passed(parseCanonicalAddress(account.address.toLowerCase()))
  const keys = { curve25519: new Uint8Array(32), ed25519: new Uint8Array(32) }
  const currentTime = '2026-11-20T08:13:00.000Z'
  const text = buildGrantText({ address, currentTime, keys, chainId: 1n })
  const made = sign(hashPersonalMessage(text), secret, { prehash: false, format: 'recovered' })
  const signature = Uint8Array.of(...made.subarray(1), 27 + (made[0] ?? 0))
  expect(recoverAddress(hashPersonalMessage(text), signature)).toEqual({ ok: true, value: address })
  const sealingKey = { key: new Uint8Array(32), createdNs: 0n, signature: new Uint8Array(64) }
  const grant = {
    keys,
    address,
    currentTime,
    signature: { kind: 'erc1271', chainId: 1n, signature } as const,
    sealingKey,
  }
  expect(verifyGrant(grant)).toMatchObject({ ok: false, code: 'not_supported_yet' })
  // The text to hand to the chain has the line that the wallet signed.
  expect(grantText(grant)).toBe(text)
  expect(text.endsWith('\nChain ID: 1')).toBe(true)
  expect(readAssociation(undefined)).toMatchObject({ ok: false, code: 'malformed' })
})
