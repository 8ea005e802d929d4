/**
 * The part of the `accept` vectors that needs no state: topic, size, shape, address, kind and
 * signatures, in the order of docs/protocol.md section 13. The rest is the node's, and tested with it.
 */
import { expect } from 'vitest'
import { afterSigning, maySign, noSigners } from '../../src/protocol/account-rules.ts'
import { parseContactBundle, sealingKeySignature, verifyGrant } from '../../src/protocol/contact.ts'
import type { Address, InstallationId } from '../../src/protocol/ids.ts'
import { parsePrekeyUpload, prekeySignatures } from '../../src/protocol/prekey.ts'
import { bad, type Checked, good } from '../../src/protocol/result.ts'
import { parseRevocation, verifyRevocation } from '../../src/protocol/revocation.ts'
import type { SignatureToVerify } from '../../src/protocol/signing-bytes.ts'
import { messageLimitBytes, parseTopic } from '../../src/protocol/topics.ts'
import type { WalletSignature } from '../../src/protocol/wallet-association.ts'
import type { Vector } from '../vectors/vectors.ts'
import { ed25519Verify } from './ed25519.ts'

/** Refusals that only a node's state or clock explains. */
const statefulCodes = new Set([
  'already_revoked',
  'clock_ahead',
  'revoked',
  'sealing_key_not_newer',
  'sealing_key_too_soon',
  'stale_upload',
  'stock_full',
  'too_many_installations',
  'unknown_installation',
])

/** Asserts that the stateless rules pass exactly what the node accepts or refuses for its state. */
export function expectAccepted(vector: Vector, result: Checked<undefined>): void {
  if (vector.code === undefined || (vector.code !== null && statefulCodes.has(vector.code))) {
    expect(result).toEqual({ ok: true, value: undefined })
  } else {
    // Where the vectors leave the code open, sections 3 and 13 say `malformed`.
    expect(result).toMatchObject({ ok: false, code: vector.code ?? 'malformed' })
  }
}

export function acceptWithoutState(vector: Vector): Checked<undefined> {
  const topic = parseTopic(vector.input.text('topic'))
  if (!topic.ok) return topic
  const message = vector.input.bytes('message')
  if (message.length > messageLimitBytes[topic.value.kind])
    return bad('too_large', 'over the limit')
  switch (topic.value.kind) {
    case 'contact':
      return acceptBundle(message, topic.value.address, vector)
    case 'revoked':
      return acceptRevocation(message, topic.value.address, vector)
    case 'prekey':
      return acceptUpload(message, topic.value.installationId, vector)
    case 'message':
      return good(undefined)
  }
}

function acceptBundle(message: Uint8Array, address: Address, vector: Vector): Checked<undefined> {
  const bundle = parseContactBundle(message)
  if (!bundle.ok) return bundle
  if (bundle.value.address !== address) return bad('wrong_address', 'not the topic’s address')
  const kind = acceptKind(bundle.value.signature, vector)
  if (!kind.ok) return kind
  if (bundle.value.signature.kind === 'erc1271') return bad('chain_unavailable', 'nobody asks it')
  const grant = verifyGrant(bundle.value)
  if (!grant.ok) return grant
  return verifyAll([sealingKeySignature(bundle.value)])
}

function acceptRevocation(
  message: Uint8Array,
  address: Address,
  vector: Vector,
): Checked<undefined> {
  const revocation = parseRevocation(message)
  if (!revocation.ok) return revocation
  if (revocation.value.address !== address) return bad('wrong_address', 'not the topic’s address')
  const kind = acceptKind(revocation.value.signature, vector)
  if (!kind.ok) return kind
  const verified = verifyRevocation(revocation.value)
  return verified.ok ? good(undefined) : verified
}

/** Section 3: a chain that the node can ask, and the kind that the account began with. */
function acceptKind(signature: WalletSignature, vector: Vector): Checked<undefined> {
  if (signature.kind === 'erc1271') {
    const chainIds = vector.input.list('chain_ids')
    if (!chainIds.includes(signature.chainId.toString()))
      return bad('chain_unknown', 'no such chain')
  }
  const signers = vector.input.objects('before').reduce((before, given) => {
    const bundle = parseContactBundle(given.bytes('message'))
    return bundle.ok ? afterSigning(before, bundle.value.signature) : before
  }, noSigners)
  return maySign(signers, signature)
    ? good(undefined)
    : bad('wrong_signature_kind', 'contracts of another chain sign for it')
}

function acceptUpload(message: Uint8Array, id: InstallationId, vector: Vector): Checked<undefined> {
  const upload = parsePrekeyUpload(message)
  if (!upload.ok) return upload
  if (upload.value.installationId !== id) return bad('malformed', 'not the topic’s installation')
  const ed25519 = findKey(vector, id)
  return ed25519 === undefined
    ? good(undefined)
    : verifyAll(prekeySignatures(upload.value, ed25519))
}

/** The installation's key in what the node accepted before. */
function findKey(vector: Vector, id: InstallationId): Uint8Array | undefined {
  for (const before of vector.input.objects('before')) {
    const bundle = parseContactBundle(before.bytes('message'))
    if (bundle.ok && bundle.value.installationId === id) return bundle.value.keys.ed25519
  }
  return undefined
}

const verifyAll = (signatures: readonly SignatureToVerify[]): Checked<undefined> =>
  signatures.every(ed25519Verify) ? good(undefined) : bad('bad_signature', 'does not verify')
