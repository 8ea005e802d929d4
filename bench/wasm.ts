/**
 * What each call of padlock.wasm costs, next to libolm in the same run, and what it adds to a page.
 * Run with `node bench/wasm.ts` after `scripts/build-wasm.sh`. Microseconds per item, median of
 * fifteen rounds; libolm's interface takes and returns base64.
 */

import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { brotliCompressSync, constants } from 'node:zlib'
import Olm from '@matrix-org/olm'
import {
  aConversation,
  crypto,
  encrypt,
  installationId,
  must,
  only,
  partsOf,
  sessionTo,
} from '../tests/crypto/peer.ts'

await Olm.init()

/** Median microseconds of one of `calls` calls. */
const measure = (calls: number, call: () => unknown): number => {
  for (let warm = 0; warm < calls; warm++) call()
  const rounds = Array.from({ length: 15 }, () => {
    const start = performance.now()
    for (let done = 0; done < calls; done++) call()
    return ((performance.now() - start) * 1_000) / calls
  })
  return rounds.sort((a, b) => a - b)[7] ?? Number.NaN
}

const row = (name: string, padlock?: number, libolm?: number) => {
  const cell = (value?: number) => (value?.toFixed(1) ?? '').padStart(10)
  console.log(name.padEnd(46) + cell(padlock) + cell(libolm))
}

/** A payload of 1 KiB with one field. */
const kibibyte = new Uint8Array(1_024).fill(1)
kibibyte.set([0x22, 0xfd, 0x07])
const hundred = Array.from({ length: 100 }, () => kibibyte)
const text = 'x'.repeat(1_024)

/**
 * Two libolm sessions that have received from each other, and what another prekey message needs.
 */
const libolmPair = () => {
  const [alice, bob, out, into] = [
    new Olm.Account(),
    new Olm.Account(),
    new Olm.Session(),
    new Olm.Session(),
  ]
  alice.create()
  bob.create()
  bob.generate_one_time_keys(1)
  const keyOf = (account: Olm.Account): string => JSON.parse(account.identity_keys()).curve25519
  const prekeys: { curve25519: Record<string, string> } = JSON.parse(bob.one_time_keys())
  const prekey = only(Object.values(prekeys.curve25519))
  out.create_outbound(alice, keyOf(bob), prekey)
  const first = out.encrypt(text)
  into.create_inbound_from(bob, keyOf(alice), first.body)
  into.decrypt(0, first.body)
  const reply = into.encrypt(text)
  out.decrypt(reply.type, reply.body)
  return { alice, bob, aliceKey: keyOf(alice), bobKey: keyOf(bob), prekey, out, into, first }
}

const { alice, bob, aliceState, bobState, first } = aConversation()
const [recipient] = crypto.createKeyPairs(1)
if (recipient === undefined) throw new Error('one was asked for')
const requestOf = (payloads: readonly Uint8Array[]) => ({
  state: aliceState,
  sealingKey: recipient.publicKey,
  recipientInstallationId: installationId,
  metadata: new Uint8Array(180).fill(10),
  signingFields: new Uint8Array(186),
  payloads,
})
const sealed = must(only(crypto.seal(alice.identity, [requestOf(hundred)])))
const envelopes = sealed.envelopes.map(({ message }) => partsOf(message))
const opened = crypto.open([recipient.secret], installationId, envelopes).map((result) => {
  const { olmMessage = new Uint8Array(), headerHash } = must(result)
  return { olmMessage, headerHash, isPrekeyMessage: false }
})
const settled = must(crypto.decrypt(bobState, opened.slice(0, 1))).state

console.log('microseconds'.padEnd(46) + 'Padlock'.padStart(10) + 'libolm'.padStart(10))

const sessions = () => {
  row(
    'session restore and save',
    measure(200, () => crypto.decrypt(settled, [])),
  )
  const olm = libolmPair()
  const seal = (payloads: readonly Uint8Array[]) => () =>
    crypto.seal(alice.identity, [requestOf(payloads)])
  row(
    'sign, encrypt, seal 1 KiB (libolm: encrypt)',
    measure(30, seal([kibibyte])),
    measure(50, () => olm.out.encrypt(text)),
  )
  row('  100 a call', measure(1, seal(hundred)) / 100)

  const bodies = Array.from({ length: 16 * 60 }, () => olm.into.encrypt(text).body)
  let next = 0
  row(
    'decrypt 1 KiB',
    measure(60, () => must(crypto.decrypt(settled, opened.slice(1, 2)))),
    measure(60, () => olm.out.decrypt(1, bodies[next++] ?? '')),
  )
  row('  100 a call', measure(2, () => must(crypto.decrypt(settled, opened.slice(1)))) / 99)

  // A ratchet step each time: the receiver of the last message answers.
  let [mine, theirs] = [aliceState, bobState]
  let [self, other] = [alice, bob]
  const pair = libolmPair()
  row(
    'ping-pong 1 KiB (with sealing; libolm: without)',
    measure(20, () => {
      const { state, messages } = encrypt(self, mine, [kibibyte])
      const received = must(crypto.decrypt(theirs, messages)).state
      ;[mine, theirs] = [received, state]
      ;[self, other] = [other, self]
    }),
    measure(20, () => {
      const there = pair.out.encrypt(text)
      pair.into.decrypt(there.type, there.body)
      ;[pair.out, pair.into] = [pair.into, pair.out]
    }),
  )
  row(
    'session out',
    measure(20, () => sessionTo(alice, bob)),
    measure(20, () => {
      const session = new Olm.Session()
      session.create_outbound(pair.alice, pair.bobKey, pair.prekey)
      session.free()
    }),
  )
  const { olmMessage, headerHash } = only(first.messages)
  const inbound = {
    identity: bob.identity,
    prekeySecret: bob.prekey.secret,
    senderIdentityKey: alice.curve25519,
    olmMessage,
    headerHash,
  }
  row(
    'session in',
    measure(20, () => must(crypto.createInboundSession(inbound))),
    measure(20, () => {
      const session = new Olm.Session()
      session.create_inbound_from(pair.bob, pair.aliceKey, pair.first.body)
      session.decrypt(0, pair.first.body)
      session.free()
    }),
  )
}

const opening = () => {
  const open = (parts: typeof envelopes) => () =>
    crypto.open([recipient.secret], installationId, parts)
  row('open both parts', measure(50, open(envelopes.slice(0, 1))))
  row('  100 a call', measure(1, open(envelopes)) / 100)
  const der = (prefix: string, key: Uint8Array) => Buffer.concat([Buffer.from(prefix, 'hex'), key])
  const privateKey = createPrivateKey({
    key: der('302e020100300506032b656e04220420', recipient.secret),
    format: 'der',
    type: 'pkcs8',
  })
  const withShared = envelopes.map((parts) => {
    const enc = der('302a300506032b656e032100', parts.sealedMetadata.subarray(0, 32))
    const publicKey = createPublicKey({ key: enc, format: 'der', type: 'spki' })
    return { ...parts, shared: [new Uint8Array(diffieHellman({ privateKey, publicKey }))] }
  })
  row('  with X25519 given', measure(2, open(withShared)) / 100)
}

const keys = () => {
  const olm = libolmPair()
  row(
    'create 50 key pairs',
    measure(2, () => crypto.createKeyPairs(50)),
    measure(2, () => olm.bob.generate_one_time_keys(50)),
  )
  const message = new Uint8Array(300)
  const messages = Array.from({ length: 100 }, () => message)
  const [signature = message] = crypto.sign(alice.identity, [message])
  const signed = messages.map(() => ({ ed25519: alice.ed25519, message, signature }))
  row(
    'Ed25519 sign',
    measure(50, () => crypto.sign(alice.identity, [message])),
  )
  row('  100 a call', measure(2, () => crypto.sign(alice.identity, messages)) / 100)
  row('Ed25519 verify, 100 a call', measure(1, () => crypto.verify(signed)) / 100)
}

const records = () => {
  const key = new Uint8Array(32).fill(7)
  const associatedData = new Uint8Array(40)
  const plain = hundred.map((plaintext) => ({ plaintext, associatedData }))
  const closed = crypto.vaultSeal(key, plain).map((sealed) => ({ sealed, associatedData }))
  row(
    'vault seal 1 KiB',
    measure(200, () => crypto.vaultSeal(key, plain.slice(0, 1))),
  )
  row('  100 a call', measure(5, () => crypto.vaultSeal(key, plain)) / 100)
  row('vault open 1 KiB, 100 a call', measure(5, () => crypto.vaultOpen(key, closed)) / 100)
  row('SHA-256 of 1 KiB, 100 a call', measure(5, () => crypto.digest(hundred)) / 100)
  row('keyed hash of 1 KiB, 100 a call', measure(5, () => crypto.keyedHash(key, hundred)) / 100)
}

sessions()
opening()
keys()
records()

console.log(`\nsession state ${settled.length} bytes`)
for (const name of ['padlock.wasm', 'padlock.js']) {
  const bytes = readFileSync(new URL(`../wasm/pkg/${name}`, import.meta.url))
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
  console.log(`${name} ${bytes.length} bytes, ${brotli.length} with brotli 11`)
}
