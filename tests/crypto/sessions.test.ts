/** Sessions in and out: order, batches, every code, and that a failure changes nothing. */

import { expect, test } from 'vitest'
import type { OlmMessageToDecrypt } from '../../src/crypto/crypto.ts'
import { runSeed, seededRandom } from '../support/random.ts'
import {
  aConversation,
  aPeer,
  codeOf,
  crypto,
  encrypt,
  installationId,
  must,
  only,
  payloadOf,
  plainText,
  sessionTo,
} from './peer.ts'

const content = (payload: Uint8Array) => new TextDecoder().decode(payload)

const numbered = (count: number) =>
  Array.from({ length: count }, (_, index) => payloadOf(`message ${index}`))

const flipped = (bytes: Uint8Array, at: number) => {
  const copy = bytes.slice()
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** Bob's first message from Alice, and what he needs to take it. */
const aFirstMessage = () => {
  const [alice, bob] = [aPeer(), aPeer()]
  const outbound = sessionTo(alice, bob)
  const { messages } = encrypt(alice, outbound.state, [payloadOf('first')])
  const { olmMessage, headerHash } = only(messages)
  const request = {
    identity: bob.identity,
    prekeySecret: bob.prekey.secret,
    senderIdentityKey: alice.curve25519,
    olmMessage,
    headerHash,
  }
  return { alice, bob, outbound, request }
}

const decryptOne = (state: Uint8Array, message: OlmMessageToDecrypt) => {
  const { state: next, results } = must(crypto.decrypt(state, [message]))
  return { next, result: only(results) }
}

test('section 7: a prekey message makes the session that both sides name alike', () => {
  const { outbound, request } = aFirstMessage()
  const inbound = must(crypto.createInboundSession(request))
  expect(inbound.sessionId).toEqual(outbound.sessionId)
  expect(inbound.sessionId).toHaveLength(32)
  expect(content(inbound.payload)).toContain('first')
})

test('section 7: a sender writes prekey messages until it has read an answer', () => {
  const { alice, aliceState, first, inbound } = aConversation()
  const again = encrypt(alice, first.state, numbered(2))
  expect(again.messages.map((message) => message.isPrekeyMessage)).toEqual([true, true])
  const { results } = must(crypto.decrypt(inbound.state, again.messages))
  expect(results.map((result) => content(must(result).payload).slice(2, 11))).toEqual([
    'message 0',
    'message 1',
  ])
  const later = encrypt(alice, aliceState, numbered(1))
  expect(only(later.messages).isPrekeyMessage).toBe(false)
})

test('section 7: a batch gives what its messages give one by one, failures among them', () => {
  const { alice, aliceState, bobState } = aConversation()
  const random = seededRandom(runSeed())
  const messages = [...encrypt(alice, aliceState, numbered(30)).messages]
  for (let swap = 0; swap < 20; swap++) {
    const [from] = messages.splice(random.below(messages.length), 1)
    if (from !== undefined) messages.splice(random.below(messages.length + 1), 0, from)
  }
  const bad = random.pick(messages)
  messages.splice(10, 0, { ...bad, olmMessage: flipped(bad.olmMessage, bad.olmMessage.length - 1) })
  messages.splice(15, 0, { ...random.pick(messages), headerHash: new Uint8Array(32) })
  messages.push(random.pick(messages), { ...bad, olmMessage: new Uint8Array(5) })

  const batch = must(crypto.decrypt(bobState, messages))
  let state = bobState
  const single = messages.map((message) => {
    const { next, result } = decryptOne(state, message)
    state = next
    return result
  })
  expect(batch.results).toEqual(single)
  expect(batch.state).toEqual(state)
  expect(new Set(single.filter(({ ok }) => ok)).size).toBe(30)
})

test('section 7: messages that arrive out of order decrypt once each', () => {
  const { alice, aliceState, bobState } = aConversation()
  const { messages } = encrypt(alice, aliceState, numbered(40))
  const { state, results } = must(crypto.decrypt(bobState, messages.toReversed()))
  expect(
    results.map((result) => content(must(result).payload).slice(2).split('\u0012')[0]),
  ).toEqual(
    numbered(40)
      .map((payload) => content(payload).slice(2))
      .reverse(),
  )
  const again = must(crypto.decrypt(state, messages))
  expect(new Set(again.results.map(codeOf))).toEqual(new Set(['message_key_gone']))
  expect(again.state).toEqual(state)
})

test('section 7: no more than forty skipped keys are kept', () => {
  const { alice, aliceState, bobState } = aConversation()
  const { messages } = encrypt(alice, aliceState, numbered(43))
  const { results } = must(crypto.decrypt(bobState, messages.toReversed()))
  expect(results.map(({ ok }) => ok)).toEqual(Array.from({ length: 43 }, (_, at) => at <= 40))
  expect(codeOf(results.at(-1))).toBe('message_key_gone')
})

test('section 7: a message more than 2,000 ahead is too far', () => {
  const { alice, aliceState, bobState } = aConversation()
  const { messages } = encrypt(alice, aliceState, numbered(2_002))
  const [within, beyond] = messages.slice(2_000)
  if (within === undefined || beyond === undefined) throw new Error('too few')
  const far = decryptOne(bobState, beyond)
  expect(codeOf(far.result)).toBe('gap_too_large')
  expect(far.next).toEqual(bobState)
  expect(decryptOne(bobState, within).result.ok).toBe(true)
})

test('section 7: a message that fails leaves the session as it was, whatever fails', () => {
  const { alice, aliceState, bobState, inbound, reply, first, bob } = aConversation()
  const message = only(encrypt(alice, aliceState, numbered(1)).messages)
  const { olmMessage } = message
  // `inbound` has not written yet: there vodozemac alone would begin a new chain before the MAC.
  for (const state of [bobState, inbound.state]) {
    for (const at of [1, 3, 40, olmMessage.length - 9, olmMessage.length - 1]) {
      const { next, result } = decryptOne(state, {
        ...message,
        olmMessage: flipped(olmMessage, at),
      })
      expect(result.ok, `byte ${at}`).toBe(false)
      expect(next, `byte ${at}`).toEqual(state)
    }
  }
  const recombined = { ...only(reply.messages), headerHash: message.headerHash }
  const mismatch = decryptOne(first.state, recombined)
  expect(codeOf(mismatch.result)).toBe('header_mismatch')
  expect(mismatch.next).toEqual(first.state)
  expect(decryptOne(mismatch.next, only(reply.messages)).result.ok).toBe(true)
  expect(decryptOne(bobState, message).result.ok).toBe(true)
  expect(bob.identity).toHaveLength(65)
})

test('section 7: a header hash that is absent or of another length is a mismatch', () => {
  const { alice, aliceState, bobState } = aConversation()
  const message = only(encrypt(alice, aliceState, numbered(1)).messages)
  for (const headerHash of [new Uint8Array(), message.headerHash.subarray(1)]) {
    expect(codeOf(decryptOne(bobState, { ...message, headerHash }).result)).toBe('header_mismatch')
  }
})

test('section 7: the header hash that the call appends wins over one in the payload', () => {
  const { alice, aliceState, bobState } = aConversation()
  const payload = Uint8Array.of(0x12, 2, 1, 1, ...payloadOf('x'))
  const message = only(encrypt(alice, aliceState, [payload]).messages)
  const { result } = decryptOne(bobState, message)
  const plaintext = Uint8Array.of(...payload, 0x12, 32, ...message.headerHash)
  expect(must(result).payload).toEqual(plaintext)
})

test('section 7: a plaintext that is not protobuf comes out as it is', () => {
  const { alice, aliceState, bobState } = aConversation()
  const payload = plainText('anything')
  const message = only(encrypt(alice, aliceState, [payload]).messages)
  const { result } = decryptOne(bobState, { ...message, headerHash: new Uint8Array(32) })
  expect(must(result).payload.subarray(0, payload.length)).toEqual(payload)
})

test('section 7: a prekey message of another session is not this session’s', () => {
  const { alice, bob, inbound } = aConversation()
  const prekey = only(crypto.createKeyPairs(1))
  const other = sessionTo(alice, { ...bob, prekey })
  const message = only(encrypt(alice, other.state, numbered(1)).messages)
  const refused = decryptOne(inbound.state, message)
  expect(codeOf(refused.result)).toBe('decryption_failed')
  expect(refused.next).toEqual(inbound.state)
  const carol = aPeer()
  const carols = encrypt(carol, sessionTo(carol, bob).state, numbered(1))
  expect(codeOf(decryptOne(inbound.state, only(carols.messages)).result)).toBe('identity_mismatch')
})

test('section 7: an inbound session fails with the code of its cause, and then still works', () => {
  const { request, alice } = aFirstMessage()
  const code = (change: Partial<typeof request>) =>
    codeOf(crypto.createInboundSession({ ...request, ...change }))
  const { olmMessage } = request
  expect(code({ prekeySecret: only(crypto.createKeyPairs(1)).secret })).toBe('missing_prekey')
  expect(code({ senderIdentityKey: aPeer().curve25519 })).toBe('identity_mismatch')
  expect(code({ olmMessage: flipped(olmMessage, olmMessage.length - 1) })).toBe('bad_mac')
  // Another of the receiver's identities: the prekey is there, the agreement is not.
  expect(code({ identity: aPeer().identity })).toBe('bad_mac')
  expect(code({ headerHash: new Uint8Array(32) })).toBe('header_mismatch')
  expect(code({ olmMessage: olmMessage.subarray(0, 20) })).toBe('malformed')
  expect(code({ olmMessage: new Uint8Array() })).toBe('malformed')
  expect(code({ olmMessage: new Uint8Array(1024 * 1024 + 1) })).toBe('malformed')
  expect(code({ prekeySecret: new Uint8Array(31) })).toBe('malformed')
  expect(code({ senderIdentityKey: alice.curve25519.subarray(1) })).toBe('malformed')
  expect(code({ identity: new Uint8Array(65) })).toBe('bad_state')
  expect(crypto.createInboundSession(request).ok).toBe(true)
})

test('section 7: a session to a key of small order is refused, the others of the call are made', () => {
  const [alice, bob] = [aPeer(), aPeer()]
  const good = { identityKey: bob.curve25519, prekey: bob.prekey.publicKey }
  const results = crypto.createOutboundSessions(alice.identity, [
    { ...good, prekey: new Uint8Array(32) },
    good,
    { ...good, identityKey: new Uint8Array(33) },
  ])
  expect(results.map((result) => (result.ok ? 'made' : result.code))).toEqual([
    'non_contributory_key',
    'made',
    'malformed',
  ])
})

test('section 7: a prekey message is inspected without any key', () => {
  const { alice, bob, outbound, request } = aFirstMessage()
  const [good, bad] = crypto.inspectPrekeyMessages([request.olmMessage, new Uint8Array(9)])
  const { sessionId, identityKey, prekey } = must(good)
  expect(sessionId).toEqual(outbound.sessionId)
  expect(identityKey).toEqual(alice.curve25519)
  expect(prekey).toEqual(bob.prekey.publicKey)
  expect(codeOf(bad)).toBe('malformed')
})

test('states that cannot be read are refused, and say so', () => {
  const { bobState, alice } = aConversation()
  const newer = bobState.slice()
  newer[0] = 2
  for (const state of [newer, bobState.subarray(0, -1), new Uint8Array(), new Uint8Array(70_000)]) {
    expect(codeOf(crypto.decrypt(state, []))).toBe('bad_state')
    const request = {
      state,
      sealingKey: alice.curve25519,
      recipientInstallationId: installationId,
      metadata: new Uint8Array(),
      signingFields: new Uint8Array(),
      payloads: [payloadOf('x')],
    }
    expect(codeOf(only(crypto.seal(alice.identity, [request])))).toBe('bad_state')
  }
  expect(() => crypto.sign(bobState, [new Uint8Array()])).toThrow(
    expect.objectContaining({ code: 'internal', details: { crypto: 'bad_state' } }),
  )
})
