/**
 * One installation at the level of `Crypto`: seals to another and opens what was sealed to it, so
 * that tests can hand Olm messages around. No store, no network, no checks of a sender.
 */

import { readFileSync } from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import type {
  CryptoCode,
  CryptoResult,
  EnvelopeToOpen,
  NewIdentity,
  OlmMessageToDecrypt,
} from '../../src/crypto/crypto.ts'
import { loadWasmCrypto } from '../../src/crypto/wasm.ts'
import {
  InboxMessageSchema,
  PadlockMessageHeaderSchema,
} from '../../src/gen/padlock/v1/message_pb.ts'

/** The file that scripts/build-wasm.sh makes. */
export const wasmFile = () => readFileSync(new URL('../../wasm/pkg/padlock.wasm', import.meta.url))

export const crypto = await loadWasmCrypto(wasmFile())

/** The value of a result that must be one. */
export const must = <T>(result: CryptoResult<T> | undefined): T => {
  if (result === undefined) throw new Error('no result')
  if (!result.ok) throw new Error(`failed: ${result.code}`)
  return result
}

/** The code of a result that must be a failure. */
export const codeOf = (result: CryptoResult<unknown> | undefined): CryptoCode => {
  if (result === undefined || result.ok) throw new Error('did not fail')
  return result.code
}

export const only = <T>(items: readonly T[]): T => {
  const [item] = items
  if (item === undefined || items.length !== 1) throw new Error(`${items.length} items, not one`)
  return item
}

/** An id of the right length; the tests of ids are elsewhere. */
export const installationId = 'i'.repeat(43)

const text = new TextEncoder()

/**
 * A payload that is not protobuf (its first byte is a field of the reserved wire type 7), as libolm
 * cannot carry bytes. `Crypto` passes such plaintexts as they are.
 */
export const plainText = (content: string) => text.encode(`\u0007${content}`)

/** A payload of one field, content_bytes. */
export const payloadOf = (content: string) => {
  const bytes = text.encode(content)
  if (bytes.length > 127) throw new Error('too long for one length byte')
  return Uint8Array.of(0x22, bytes.length, ...bytes)
}

/** The parts of a serialised InboxMessage. */
export const partsOf = (message: Uint8Array): EnvelopeToOpen => {
  const envelope = fromBinary(InboxMessageSchema, message).version.value
  if (envelope === undefined) throw new Error('no envelope')
  const { headerBytes, ciphertext } = envelope
  const { sealedMetadata } = fromBinary(PadlockMessageHeaderSchema, headerBytes)
  return { headerBytes, sealedMetadata, ciphertext }
}

export interface Peer extends NewIdentity {
  readonly prekey: { readonly secret: Uint8Array; readonly publicKey: Uint8Array }
}

export const aPeer = (): Peer => ({
  ...crypto.createIdentity(),
  prekey: only(crypto.createKeyPairs(1)),
})

const sealing = only(crypto.createKeyPairs(1))

/** Seals to a key that all tests share, and opens again: what is left is Olm. */
export const encrypt = (
  sender: NewIdentity,
  state: Uint8Array,
  payloads: readonly Uint8Array[],
): { readonly state: Uint8Array; readonly messages: readonly OlmMessageToDecrypt[] } => {
  const request = {
    state,
    sealingKey: sealing.publicKey,
    recipientInstallationId: installationId,
    metadata: new Uint8Array(),
    signingFields: new Uint8Array(),
    payloads,
  }
  const sealed = must(only(crypto.seal(sender.identity, [request])))
  const parts = sealed.envelopes.map(({ message }) => partsOf(message))
  const messages = crypto.open([sealing.secret], installationId, parts).map((opened) => {
    const { olmMessage, headerHash, metadata } = must(opened)
    if (olmMessage === undefined) throw new Error('the second part does not open')
    // Field 5, a boolean, comes first in metadata that has no fields 1 to 4.
    return { olmMessage, headerHash, isPrekeyMessage: metadata[0] === 0x28 && metadata[1] === 1 }
  })
  return { state: sealed.state, messages }
}

export const sessionTo = (sender: NewIdentity, receiver: Peer) =>
  must(
    only(
      crypto.createOutboundSessions(sender.identity, [
        { identityKey: receiver.curve25519, prekey: receiver.prekey.publicKey },
      ]),
    ),
  )

/** Two peers and a session on which both have sent and received. */
export const aConversation = () => {
  const [alice, bob] = [aPeer(), aPeer()]
  const outbound = sessionTo(alice, bob)
  const first = encrypt(alice, outbound.state, [payloadOf('first')])
  const { olmMessage, headerHash } = only(first.messages)
  const inbound = must(
    crypto.createInboundSession({
      identity: bob.identity,
      prekeySecret: bob.prekey.secret,
      senderIdentityKey: alice.curve25519,
      olmMessage,
      headerHash,
    }),
  )
  const reply = encrypt(bob, inbound.state, [payloadOf('reply')])
  const received = must(crypto.decrypt(first.state, reply.messages))
  return { alice, bob, aliceState: received.state, bobState: reply.state, first, inbound, reply }
}
