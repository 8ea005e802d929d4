/** The vectors through the module that ships: strict verification, and opening as in section 8. */

import { expect, test } from 'vitest'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { checkMetadata, headerSignature, parseInboxMessage } from '../../src/protocol/envelope.ts'
import { parseCanonicalAddress, parseInstallationId } from '../../src/protocol/ids.ts'
import { passed } from '../protocol/support.ts'
import { loadTestCrypto } from '../support/engine.ts'
import { Fields, readBytes, readVectors, type Vector } from '../vectors/vectors.ts'

const crypto = await loadTestCrypto()

const vectorsOf = (file: 'signing' | 'sealing', op: string): readonly Vector[] =>
  readVectors(file).filter((vector) => vector.op === op)

test('signatures verify strictly, exactly those that the vectors call valid: section 1, Ed25519', () => {
  const vectors = vectorsOf('signing', 'verify_strict')
  expect(vectors.length).toBeGreaterThan(50)
  for (const vector of vectors) {
    const [valid] = crypto.verify([
      {
        ed25519: vector.input.bytes('public_key'),
        message: vector.input.bytes('message'),
        signature: vector.input.bytes('signature'),
      },
    ])
    const expected = vector.output !== undefined && new Fields(vector.output).flag('valid')
    expect([vector.name, valid]).toEqual([vector.name, expected])
  }
})

/** Steps 1 to 4 of section 8, as far as they need no session: what comes out, or what it is called. */
const receive = ({ input }: Vector) => {
  const parts = parseInboxMessage(input.bytes('inbox_message'))
  if (!parts.ok) return 'rejected'
  const recipient = {
    address: passed(parseCanonicalAddress(input.text('address'))),
    installationId: passed(parseInstallationId(input.text('installation_id'))),
  }
  const secrets = input.list('sealing_secrets').map(readBytes)
  const [opened] = crypto.open(secrets, recipient.installationId, [parts.value])
  if (!opened?.ok) return 'rejected'
  const metadata = checkMetadata(opened.metadata, recipient)
  if (!metadata.ok) return 'rejected'
  const signature = headerSignature(opened.enc, metadata.value, input.bytes('sender_ed25519'))
  const [isSigned] = crypto.verify([signature])
  if (!isSigned) return 'rejected'
  if (!opened.olmMessage) return 'undecryptable'
  return { headerHash: encodeHex(opened.headerHash), olm: encodeHex(opened.olmMessage) }
}

test('envelopes open, are rejected or cannot be decrypted exactly as the vectors say: section 8', () => {
  const vectors = vectorsOf('sealing', 'open')
  expect(vectors.length).toBeGreaterThan(40)
  for (const vector of vectors) {
    const output = vector.output && new Fields(vector.output)
    const expected = output
      ? { headerHash: output.text('header_hash'), olm: output.text('olm') }
      : vector.code
    expect([vector.name, receive(vector)]).toEqual([vector.name, expected])
  }
})
