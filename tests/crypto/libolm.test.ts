/** wasm and libolm (an independent implementation of Olm) talk to each other. */

import Olm from '@matrix-org/olm'
import { beforeAll, expect, test } from 'vitest'
import type { NewIdentity } from '../../src/crypto/crypto.ts'
import { seededRandom } from '../support/random.ts'
import { aPeer, crypto, encrypt, must, only, type Peer, plainText } from './peer.ts'

beforeAll(() => Olm.init())

const toBase64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64').replace(/=+$/, '')
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

const libolmAccount = () => {
  const account = new Olm.Account()
  account.create()
  account.generate_one_time_keys(1)
  const keys: { curve25519: string; ed25519: string } = JSON.parse(account.identity_keys())
  const oneTime: { curve25519: Record<string, string> } = JSON.parse(account.one_time_keys())
  return { account, keys, prekey: only(Object.values(oneTime.curve25519)) }
}

/** Stands between a payload and the 32 bytes of its header hash: field 2 of 32 bytes. */
const headerHashTag = '\u0012 '

/** One end of a session; both kinds take and give Olm messages. */
interface End {
  send(content: string): Wire
  /** The content; throws if the message does not decrypt. */
  receive(wire: Wire): string
}
interface Wire {
  readonly isPrekeyMessage: boolean
  readonly body: Uint8Array
  /** What the receiver must read. */
  readonly reads: string
}

const wasmEnd = (self: NewIdentity, state: Uint8Array): End => {
  let current = state
  return {
    send(content) {
      const payload = plainText(content)
      const sent = encrypt(self, current, [payload])
      current = sent.state
      const { olmMessage, isPrekeyMessage } = only(sent.messages)
      return { isPrekeyMessage, body: olmMessage, reads: new TextDecoder().decode(payload) }
    },
    receive({ isPrekeyMessage, body }) {
      const headerHash = new Uint8Array(32)
      const batch = [{ olmMessage: body, isPrekeyMessage, headerHash }]
      const received = must(crypto.decrypt(current, batch))
      current = received.state
      return new TextDecoder().decode(must(only(received.results)).payload)
    },
  }
}

const libolmEnd = (session: Olm.Session): End => ({
  send(content) {
    const reads = `\u0007${content}`
    const { type, body } = session.encrypt(reads)
    return { isPrekeyMessage: type === 0, body: fromBase64(body), reads }
  },
  // libolm gives a text. The header hash at its end is not text but random bytes, which libolm and
  // TextDecoder read differently (and libolm ends at a zero byte), so it is cut off before comparing.
  receive({ isPrekeyMessage, body }) {
    const text = session.decrypt(isPrekeyMessage ? 0 : 1, toBase64(body))
    const end = text.indexOf(headerHashTag)
    if (end === -1) throw new Error('no header hash follows the payload')
    return text.slice(0, end)
  },
})

/** wasm writes first. */
const fromWasm = () => {
  const self = aPeer()
  const { account, keys, prekey } = libolmAccount()
  const outbound = must(
    only(
      crypto.createOutboundSessions(self.identity, [
        { identityKey: fromBase64(keys.curve25519), prekey: fromBase64(prekey) },
      ]),
    ),
  )
  const wasm = wasmEnd(self, outbound.state)
  const first = wasm.send('first')
  const session = new Olm.Session()
  session.create_inbound_from(account, toBase64(self.curve25519), toBase64(first.body))
  return { wasm, libolm: libolmEnd(session), session, first, sessionId: outbound.sessionId }
}

/** libolm writes first. */
const fromLibolm = () => {
  const self: Peer = aPeer()
  const { account, keys } = libolmAccount()
  const session = new Olm.Session()
  session.create_outbound(account, toBase64(self.curve25519), toBase64(self.prekey.publicKey))
  const libolm = libolmEnd(session)
  const first = libolm.send('first')
  const inbound = must(
    crypto.createInboundSession({
      identity: self.identity,
      prekeySecret: self.prekey.secret,
      senderIdentityKey: fromBase64(keys.curve25519),
      olmMessage: first.body,
      headerHash: new Uint8Array(32),
    }),
  )
  return { wasm: wasmEnd(self, inbound.state), libolm, session, self, first, inbound, keys }
}

test('section 7: libolm reads a prekey message of wasm, and both name the session alike', () => {
  const { libolm, session, first, sessionId } = fromWasm()
  expect(first.isPrekeyMessage).toBe(true)
  expect(libolm.receive(first)).toBe(first.reads)
  expect(first.reads).toBe('\u0007first')
  expect(session.session_id()).toBe(toBase64(sessionId))
})

test('section 7: wasm reads a prekey message of libolm, and both name the session alike', () => {
  const { session, self, first, inbound, keys } = fromLibolm()
  expect(new TextDecoder().decode(inbound.payload)).toBe(first.reads)
  expect(session.session_id()).toBe(toBase64(inbound.sessionId))
  const parts = must(only(crypto.inspectPrekeyMessages([first.body])))
  expect(parts.sessionId).toEqual(inbound.sessionId)
  expect(parts.identityKey).toEqual(fromBase64(keys.curve25519))
  expect(parts.prekey).toEqual(self.prekey.publicKey)
})

test('section 7: normal messages go both ways, whoever wrote first', () => {
  const wasmFirst = fromWasm()
  wasmFirst.libolm.receive(wasmFirst.first)
  for (const { wasm, libolm } of [wasmFirst, fromLibolm()]) {
    const there = libolm.send('there')
    expect(wasm.receive(there)).toBe(there.reads)
    const back = wasm.send('back')
    expect(libolm.receive(back)).toBe(back.reads)
    const again = libolm.send('again')
    expect([back.isPrekeyMessage, again.isPrekeyMessage]).toEqual([false, false])
    expect(wasm.receive(again)).toBe(again.reads)
  }
})

test('section 7: libolm verifies what wasm signed, and wasm what libolm signed', () => {
  const self = aPeer()
  const message = new TextEncoder().encode('signed')
  const ours = only(crypto.sign(self.identity, [message]))
  const utility = new Olm.Utility()
  utility.ed25519_verify(toBase64(self.ed25519), message, toBase64(ours))
  expect(() => utility.ed25519_verify(toBase64(self.ed25519), 'other', toBase64(ours))).toThrow()
  const { account, keys } = libolmAccount()
  const theirs = fromBase64(account.sign(message))
  const ed25519 = fromBase64(keys.ed25519)
  expect(crypto.verify([{ ed25519, message, signature: theirs }])).toEqual([true])
})

test.each([
  ['wasm', fromWasm, 20_261_120],
  ['libolm', fromLibolm, 7],
] as const)('1,000 messages with drops and reordering, %s first', (_name, start, seed) => {
  console.log(`seed ${seed}`)
  const random = seededRandom(seed)
  const { wasm, libolm, first } = start()
  const ends = { wasm, libolm }
  if (start === fromWasm) libolm.receive(first)
  // What is under way to each end, and how often a later message has overtaken it. Receivers keep
  // five chains, so a message more than three times overtaken could be lost rightly.
  const underWay = {
    wasm: [] as { wire: Wire; overtaken: number }[],
    libolm: [] as { wire: Wire; overtaken: number }[],
  }
  let [sent, dropped, delivered, reordered] = [0, 0, 0, 0]
  const deliver = (to: 'wasm' | 'libolm') => {
    const queue = underWay[to]
    const stuck = queue.findIndex(({ overtaken }) => overtaken >= 3)
    const index = stuck === -1 ? random.below(Math.min(4, queue.length)) : stuck
    const [chosen] = queue.splice(index, 1)
    if (chosen === undefined) return
    for (const earlier of queue.slice(0, index)) earlier.overtaken += 1
    if (index > 0) reordered += 1
    expect(ends[to].receive(chosen.wire)).toBe(chosen.wire.reads)
    delivered += 1
  }
  while (sent < 1_000) {
    const from = random.below(2) === 0 ? 'wasm' : 'libolm'
    const to = from === 'wasm' ? 'libolm' : 'wasm'
    for (let burst = 1 + random.below(4); burst > 0; burst--) {
      const wire = ends[from].send(`message ${sent} ${'x'.repeat(random.below(600))}`)
      sent += 1
      if (random.below(10) === 0) dropped += 1
      else underWay[to].push({ wire, overtaken: 0 })
    }
    for (let count = random.below(6); count > 0; count--)
      deliver(random.below(2) ? 'wasm' : 'libolm')
  }
  while (underWay.wasm.length > 0) deliver('wasm')
  while (underWay.libolm.length > 0) deliver('libolm')
  expect(delivered + dropped).toBe(sent)
  expect(dropped).toBeGreaterThan(50)
  expect(reordered).toBeGreaterThan(100)
})
