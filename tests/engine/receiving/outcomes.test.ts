/**
 * Receiving as a whole (docs/protocol.md section 8, In): which test shows each outcome and each code,
 * and that good envelopes are kept. The forge's parts and what else is tested of receiving lie beside.
 */

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { listSourceFiles } from '../../../scripts/files.ts'
import { codes, isPadlockErrorCode, type PadlockErrorCode } from '../../../src/errors.ts'
import { buildMetadataPart } from '../../../src/protocol/envelope.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { outcomeOf } from '../../../src/protocol/outcomes.ts'
import { buildPayload } from '../../../src/protocol/payload.ts'
import { headerSigningFields } from '../../../src/protocol/signing-bytes.ts'
import { tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import { composedNs, forge, type Line, textContent } from '../../support/envelope-forge/forge.ts'
import { aLine, keptChanges, messageOf, said } from '../../support/envelope-forge/judge.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

type Shown = readonly [file: string, text: string]

/** Where each outcome is shown: the file, and a text of the test or of its case. */
const outcomes = {
  kept: ['outcomes', 'a good envelope is kept'],
  duplicate: ['replays', 'an envelope that was processed once is a duplicate'],
  parked: ['parked-senders', 'a sender that cannot be looked up is parked'],
  rejected: ['unsealing', 'what is wrong leaves nothing but the cursor'],
  undecryptable: ['decryption', 'a message of a session that is known'],
  unsupported_version: ['payloads', 'a payload that is decrypted and refused'],
} as const satisfies Record<string, Shown>

/** And each code that receiving gives, under its outcome. */
const shown: Readonly<Record<string, Readonly<Partial<Record<PadlockErrorCode, Shown>>>>> = {
  duplicate: {
    duplicate_message: ['stored-messages', 'a message that is here already is a duplicate'],
  },
  rejected: {
    malformed: ['unsealing', 'a message cut by a byte'],
    too_large: ['unsealing', 'a message of a byte more than 1 MiB'],
    unsealing_failed: ['unsealing', 'a seal to a key of somebody else'],
    not_for_us: ['unsealing', 'another recipient id'],
    unknown_sender: ['authentication', 'an installation that its account does not name'],
    sender_denied: ['requests', 'what a denied account sends leaves nothing but the cursor'],
    sender_revoked: ['authentication', 'a live client takes nothing from a revoked installation'],
    bad_header_signature: ['authentication', 'the signature of another identity'],
    bad_mac: ['decryption', 'another baseKey, claimed'],
    bad_payload: ['payloads', 'a plaintext that is no protobuf'],
    wrong_participants: ['payloads', 'the sender and a third account'],
    message_too_large: ['payloads', 'content of a byte more than 900 KiB'],
  },
  undecryptable: {
    session_unknown: ['decryption', 'the claim to be a normal message'],
    session_mismatch: ['decryption', 'an identityKey of somebody else, claimed'],
    message_key_gone: ['decryption', 'a counter whose key is used up'],
    prekey_gone: ['decryption', 'a oneTimeKey that never was here, claimed'],
    decryption_failed: ['decryption', 'a bit of its tag'],
    header_mismatch: ['decryption', 'a bit of header_hash'],
  },
  unsupported_version: {
    unsupported_version: ['payloads', 'version 2'],
  },
  parked: {
    parking_full: ['parked-senders', '4 MiB of one address are parked'],
  },
}

/** In the same part of the source's table, and no outcome of an envelope. */
const others = ['requests_full', 'gap', 'node_withholding', 'node_equivocating', 'restored']

const listed = Object.values(shown).flatMap((group) => Object.keys(group))
const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('every code of receiving that the source has is listed with its test', () => {
  const source = read('../../../src/errors.ts')
  const [, part = ''] = source.split('Why an envelope in the inbox was not kept')
  const inPart = [...part.slice(0, part.indexOf('}')).matchAll(/^ {2}(\w+): /gm)].map(
    ([, code]) => code,
  )
  expect(inPart.length).toBeGreaterThan(15)
  // Three codes of the node's table are outcomes here too.
  const expected = [...inPart, 'malformed', 'too_large', 'message_too_large']
  expect([...listed, ...others].sort()).toEqual(expected.sort())
})

test('every code that the sources of receiving name is listed', () => {
  const names = [
    ...listSourceFiles().flatMap(
      (path) => /^src\/(engine\/receiving\/[\w-]+)\.ts$/.exec(path)?.[1] ?? [],
    ),
    ...['envelope', 'payload', 'outcomes'].map((one) => `protocol/${one}`),
  ]
  const found = new Set<string>()
  for (const name of names) {
    for (const [, word] of read(`../../../src/${name}.ts`).matchAll(/'(\w+)'/g)) {
      if (isPadlockErrorCode(word)) found.add(word)
    }
  }
  expect(found.size).toBeGreaterThan(15)
  // `unverified` is the state of a sender there, not a code.
  const known = [...listed, ...others, 'storage_damaged', 'unverified']
  expect([...found].filter((code) => !known.includes(code))).toEqual([])
})

test('the protocol has the same outcomes and codes', () => {
  const text = read('../../../docs/protocol.md')
  const table = text.slice(text.indexOf('| outcome | codes of the SDK |'))
  const rows = table.slice(0, table.indexOf('\n\n')).split('\n').slice(2)
  const written = rows.map((row) => {
    const [, outcome = '', codesOfIt = ''] = row.split('|')
    return [
      /`(\w+)/.exec(outcome)?.[1],
      [...codesOfIt.matchAll(/`(\w+)`/g)].map(([, code]) => code).sort(),
    ]
  })
  const { parked: _, ...ours } = shown
  const expected = Object.keys(outcomes).map((outcome) => [
    outcome,
    Object.keys(ours[outcome] ?? {}).sort(),
  ])
  expect(Object.fromEntries(written)).toEqual(Object.fromEntries(expected))
})

test('every code leads to the outcome that it is listed under, and no other is worth asking for', () => {
  for (const code of Object.keys(codes)) {
    if (!isPadlockErrorCode(code)) continue
    const { kind } = outcomeOf(code)
    if (Object.hasOwn(must(shown.undecryptable), code)) expect(kind).toBe('undecryptable')
    else if (code === 'unsupported_version') expect(kind).toBe('unsupported_version')
    else expect(kind, code).toBe('rejected')
  }
})

test('each test that is listed is there', () => {
  for (const [outcome, group] of Object.entries({ ...shown, outcomes })) {
    for (const [code, [file, text]] of Object.entries(group)) {
      expect(read(`./${file}.test.ts`), `${outcome}: ${code}`).toContain(text)
    }
  }
})

/** As an installation makes it: one call of wasm. */
const sealedByWasm = ({ from, to, state }: Line): Uint8Array => {
  const fields = {
    senderAddress: from.address,
    senderInstallationId: from.id,
    recipientAddress: to.address,
    recipientInstallationId: to.id,
  }
  const [sealed] = crypto.seal(from.identity, [
    {
      state,
      sealingKey: must(to.sealingKeys[0]),
      recipientInstallationId: to.id,
      metadata: buildMetadataPart(fields),
      signingFields: headerSigningFields(fields),
      payloads: [
        buildPayload({
          convoId: buildConversationId(from.address, to.address),
          contentBytes: textContent('hello'),
          composedNs,
        }),
      ],
    },
  ])
  if (!sealed?.ok) throw new Error('not sealed')
  return must(sealed.envelopes[0]).message
}

test('a good envelope is kept, whoever made it and whichever curves read it', async () => {
  for (const curves of [true, false]) {
    for (const make of [sealedByWasm, (line: Line) => forge(line).message]) {
      const bob = await aReceiver({ curves })
      for (const kind of ['one-time', 'fallback', 'established'] as const) {
        const line = await aLine(bob, kind)
        const before = bob.events.length
        const delivery = await bob.deliver(make(line))
        expect(delivery, kind).toEqual({
          outcomes: ['kept'],
          changes: keptChanges(kind),
          transactions: 1,
          queries: 0,
          requests: [],
          claims: [],
        })
        const told = bob.events.slice(before).map((event) => event.kind)
        expect(told).toEqual(kind === 'established' ? [] : ['conversation'])
      }
      // The receiver's own beginning was no envelope; nothing else was counted.
      expect(bob.parts.context.status.current.warnings).toMatchObject([
        { code: 'malformed', count: 1 },
      ])
    }
  }
})

test('a batch of many senders and sessions is one transaction, in order of arrival', async () => {
  const bob = await aReceiver()
  const lines: Line[] = []
  for (const kind of ['one-time', 'fallback', 'established', 'one-time', 'fallback'] as const) {
    lines.push(await aLine(bob, kind))
  }
  const [before] = (await bob.store.scan(tables.messages, { after: 0, limit: 500 })).rows.slice(-1)
  const forged = Array.from({ length: 40 }, (_, n) => {
    const at = (n * 7) % lines.length
    const one = forge(must(lines[at]), said(`${n}`))
    lines[at] = one.next
    return one
  })
  const { stream } = bob.parts
  expect(stream.lastCursor()).toBe(String(must(before).number))
  const { outcomes: came, transactions } = await bob.deliver(...forged.map(messageOf))
  expect(came).toEqual(Array.from({ length: 40 }, () => 'kept'))
  expect(transactions).toBe(1)
  const { rows } = await bob.store.scan(tables.messages, { after: must(before).number, limit: 500 })
  // Streams go on from there.
  expect(stream.lastCursor()).toBe(String(rows.at(-1)?.number))
  expect(rows.map(({ value }) => value.content)).toEqual(forged.map((_, n) => textContent(`${n}`)))
})

test('rejected envelopes are reported once a batch, by outcome and code, and counted in the status', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const before = bob.events.length
  const bad = new Uint8Array(5).fill(0xff)
  await bob.deliver(
    bad,
    forge(line, { sealedMetadata: (bytes) => bytes.map((byte) => byte ^ 1) }).message,
    bad,
    bad,
  )
  const told = bob.events.slice(before).filter(({ kind }) => kind === 'envelopes')
  expect(told).toEqual([
    { kind: 'envelopes', outcome: 'rejected', code: 'malformed', count: 3 },
    { kind: 'envelopes', outcome: 'rejected', code: 'unsealing_failed', count: 1 },
  ])
  expect(bob.countOf('malformed')).toBe(4)
  expect(bob.countOf('unsealing_failed')).toBe(1)
  expect(bob.parts.rejections.unopened).toBe(1)
})
