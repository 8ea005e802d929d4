/** Prekeys and their uploads: wire form, shape and what the signatures cover. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deriveInstallationId } from '../../src/protocol/ids.ts'
import {
  buildPrekeyUpload,
  buildSignedPrekey,
  parsePrekeyUpload,
  parseSignedPrekey,
  prekeySignature,
  prekeySignatures,
} from '../../src/protocol/prekey.ts'
import { prekeySigningBytes } from '../../src/protocol/signing-bytes.ts'
import { testVectors } from '../vectors/vectors.ts'
import { acceptWithoutState, expectAccepted } from './accept.ts'
import { ed25519PublicKey, ed25519Sign, ed25519Verify } from './ed25519.ts'
import { bytesOf, check, damaged, installationIds, passed, timesNs } from './support.ts'
import { runDecode, runEncode } from './wire.ts'

testVectors('prekey', {
  encode: runEncode,
  decode: runDecode,
  accept: (vector) => expectAccepted(vector, acceptWithoutState(vector)),
})

const seed = new Uint8Array(32).fill(9)
const ed25519 = ed25519PublicKey(seed)
const installationId = passed(
  deriveInstallationId({ curve25519: new Uint8Array(32).fill(1), ed25519 }),
)

function signed(kind: 'one-time' | 'fallback', byte: number, createdNs = 5n) {
  const key = new Uint8Array(32).fill(byte)
  const message = prekeySigningBytes({ kind, installationId, createdNs, key })
  return { kind, key, createdNs, signature: ed25519Sign(seed, message) }
}

test('section 6: an upload is read back as it was built', () => {
  const prekey = (kind: 'one-time' | 'fallback', createdNs: bigint) =>
    fc.record({
      kind: fc.constant(kind),
      key: bytesOf(32),
      createdNs: fc.constant(createdNs),
      signature: bytesOf(64),
    })
  const uploads = timesNs.chain((createdNs) =>
    fc
      .record({
        installationId: installationIds,
        oneTime: fc.array(prekey('one-time', createdNs), { maxLength: 4 }),
        fallback: fc.option(prekey('fallback', createdNs), { nil: undefined }),
        replace: fc.boolean(),
        createdNs: fc.constant(createdNs),
      })
      .filter((upload) => upload.oneTime.length > 0 || upload.fallback !== undefined)
      .map((upload) => (upload.fallback === undefined ? { ...upload, replace: false } : upload)),
  )
  check(uploads, (upload) => {
    expect(parsePrekeyUpload(buildPrekeyUpload(upload))).toEqual({ ok: true, value: upload })
    for (const each of upload.oneTime) {
      expect(parseSignedPrekey(buildSignedPrekey(each))).toEqual({ ok: true, value: each })
    }
  })
})

test('section 6: an upload that contradicts itself is malformed', () => {
  const fields = { installationId, oneTime: [signed('one-time', 1)], replace: false }
  const parse = (changed: Partial<Parameters<typeof buildPrekeyUpload>[0]>) =>
    parsePrekeyUpload(buildPrekeyUpload({ ...fields, ...changed }))
  expect(parse({}).ok).toBe(true)
  for (const fault of [
    { oneTime: [] },
    { replace: true },
    { oneTime: [signed('fallback', 1)] },
    { fallback: signed('one-time', 2) },
    { fallback: signed('fallback', 2, 6n) },
    { oneTime: [signed('one-time', 1), signed('one-time', 2, 6n)] },
  ]) {
    expect(parse(fault)).toMatchObject({ ok: false, code: 'malformed' })
  }
  // How many keys fit in stock is for the node to decide, not a matter of shape.
  expect(
    parse({ oneTime: Array.from({ length: 101 }, (_, at) => signed('one-time', at)) }).ok,
  ).toBe(true)
})

test('section 6: each key of an upload is signed on its own, for its kind and its installation', () => {
  const upload = passed(
    parsePrekeyUpload(
      buildPrekeyUpload({
        installationId,
        oneTime: [signed('one-time', 1), signed('one-time', 2)],
        fallback: signed('fallback', 3),
        replace: true,
      }),
    ),
  )
  expect(prekeySignatures(upload, ed25519).map(ed25519Verify)).toEqual([true, true, true])
  const [first] = upload.oneTime
  if (first === undefined) throw new Error('no key')
  const asFallback = { ...first, kind: 'fallback' } as const
  expect(ed25519Verify(prekeySignature(asFallback, installationId, ed25519))).toBe(false)
  const other = passed(deriveInstallationId({ curve25519: new Uint8Array(32), ed25519 }))
  expect(ed25519Verify(prekeySignature(first, other, ed25519))).toBe(false)
})

test('section 6: no bytes make a parser throw', () => {
  const good = buildPrekeyUpload({
    installationId,
    oneTime: [signed('one-time', 1)],
    replace: false,
  })
  check(damaged(good), (bytes) => {
    const upload = parsePrekeyUpload(bytes)
    if (!upload.ok) expect(upload.code).toBe('malformed')
  })
  check(damaged(buildSignedPrekey(signed('one-time', 1))), (bytes) => {
    const prekey = parseSignedPrekey(bytes)
    if (!prekey.ok) expect(prekey.code).toBe('malformed')
  })
})
