/** The names of topics. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  contactTopic,
  messageLimitBytes,
  messageTopic,
  parseTopic,
  prekeyTopic,
  revokedTopic,
} from '../../src/protocol/topics.ts'
import { expectResult, testVectors } from '../vectors/vectors.ts'
import { addresses, check, installationIds } from './support.ts'

testVectors('own', {
  topic: (vector) => {
    const topic = parseTopic(vector.input.text('text'))
    if (!topic.ok) return expectResult(vector, topic)
    const { kind } = topic.value
    const whose =
      'address' in topic.value
        ? { address: topic.value.address }
        : { installation_id: topic.value.installationId }
    return expectResult(vector, { ok: true, value: { kind, ...whose } })
  },
  check_payload: 'elsewhere',
  encode_text: 'elsewhere',
  decode_content: 'elsewhere',
})

test('section 5: a topic is read back as what it was made of', () => {
  check(fc.tuple(addresses, installationIds), ([address, installationId]) => {
    const value = (text: string) => {
      const topic = parseTopic(text)
      return topic.ok ? topic.value : topic.code
    }
    expect(value(contactTopic(address))).toEqual({ kind: 'contact', address })
    expect(value(revokedTopic(address))).toEqual({ kind: 'revoked', address })
    expect(value(prekeyTopic(installationId))).toEqual({ kind: 'prekey', installationId })
    expect(value(messageTopic(installationId))).toEqual({ kind: 'message', installationId })
    // The kinds do not take each other's suffix.
    expect(value(`contact-${installationId}`)).toBe('malformed')
    expect(value(`message-${address}`)).toBe('malformed')
    expect(value(`contact-${address}\n`)).toBe('malformed')
    expect(value(`Contact-${address}`)).toBe('unknown_topic')
  })
})

test('section 5: another kind is unknown, a known kind with a bad suffix malformed', () => {
  for (const text of ['', '-', 'contact', 'group-x', 'contacts-0x', ' contact-0x', '__proto__-x']) {
    expect(parseTopic(text)).toMatchObject({ ok: false, code: 'unknown_topic' })
  }
  for (const text of [
    'contact-',
    'revoked-0x',
    'prekey-abc',
    'message--',
    `message-${'A'.repeat(42)}B`,
  ]) {
    expect(parseTopic(text)).toMatchObject({ ok: false, code: 'malformed' })
  }
})

test('each kind has the limit of section 11', () => {
  expect(messageLimitBytes).toEqual({
    contact: 16_384,
    revoked: 32_768,
    prekey: 32_768,
    message: 1_048_576,
  })
})
