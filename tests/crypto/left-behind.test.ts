/** What calls leave in the memory of wasm: no secret that was too long for the first buffer. */
import { expect, test } from 'vitest'
import initialise from '../../wasm/pkg/padlock.js'
import { aConversation, aPeer, crypto, encrypt, must, payloadOf, wasmFile } from './peer.ts'

const { memory } = await initialise({ module_or_path: wasmFile() })

/** Longer than anything that lies there by chance. */
const windowBytes = 32

/** The parts of these bytes that lie in the memory now, by where they begin. */
const leftOf = (bytes: Uint8Array): readonly number[] => {
  const all = Buffer.from(memory.buffer)
  const left: number[] = []
  for (let at = 0; at + windowBytes <= bytes.length; at += 8) {
    if (all.includes(Buffer.from(bytes.subarray(at, at + windowBytes)))) left.push(at)
  }
  return left
}

test('what lies in the memory is found there', () => {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(64))
  const { buffer } = memory
  new Uint8Array(buffer).set(bytes, buffer.byteLength - 64)
  expect(leftOf(bytes)).toEqual([0, 8, 16, 24, 32])
  new Uint8Array(buffer).fill(0, buffer.byteLength - 64)
})

test('an identity, and a stock of key pairs', () => {
  const { identity } = crypto.createIdentity()
  // Of the last one the multiplication leaves its clamped form on the stack, until the next one: one
  // secret in 32 has that form already (RFC 7748, section 5).
  const pairs = crypto.createKeyPairs(1_000).slice(0, -1)
  for (const secret of [identity, ...pairs.map((pair) => pair.secret)]) {
    expect(leftOf(secret)).toEqual([])
  }
})

test('the states of many new sessions', () => {
  const [own, peer] = [aPeer(), aPeer()]
  const requests = crypto
    .createKeyPairs(100)
    .map(({ publicKey }) => ({ identityKey: peer.curve25519, prekey: publicKey }))
  for (const made of crypto.createOutboundSessions(own.identity, requests)) {
    expect(leftOf(must(made).state)).toEqual([])
  }
})

test('the states of a session that has keys of many skipped messages', () => {
  const { alice, aliceState, bobState } = aConversation()
  const payloads = Array.from({ length: 40 }, (_, nth) => payloadOf(`message ${nth}`))
  const sent = encrypt(alice, aliceState, payloads)
  expect(leftOf(sent.state)).toEqual([])
  const received = must(crypto.decrypt(bobState, sent.messages.slice(-1)))
  expect(received.results.map(({ ok }) => ok)).toEqual([true])
  // Many times what a session usually has.
  expect(received.state.length).toBeGreaterThan(2_048)
  expect(leftOf(received.state)).toEqual([])
})
