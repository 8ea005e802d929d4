/** The numbers of docs/protocol.md, written a second time: whoever changes one changes the protocol. */

import { expect, test } from 'vitest'
import * as limits from '../../src/protocol/limits.ts'

const kib = 1_024
const mib = 1_048_576
const minuteNs = 60_000_000_000n
const dayNs = 86_400_000_000_000n

test('lengths of keys, hashes, ids and signatures are those of sections 1 to 4', () => {
  expect(limits).toMatchObject({
    keyBytes: 32,
    ed25519SignatureBytes: 64,
    walletSignatureBytes: 65,
    contractSignatureLimitBytes: 8 * kib,
    digestBytes: 32,
    sessionIdBytes: 32,
    nodeIdBytes: 16,
    claimIdBytes: 16,
    encBytes: 32,
    sealTagBytes: 16,
  })
})

test('padded lengths are those of section 8', () => {
  expect(limits).toMatchObject({
    paddedMetadataBytes: 320,
    paddedMessageMinimumBytes: 512,
    sealedMetadataBytes: 368,
  })
})

test('what a request, a page and an account may hold is what section 11 says', () => {
  expect(limits).toMatchObject({
    envelopeLimitBytes: mib,
    contactLimitBytes: 16 * kib,
    revocationLimitBytes: 32 * kib,
    prekeyUploadLimitBytes: 32 * kib,
    requestLimitBytes: 25 * mib,
    requestLimitEnvelopes: 500,
    topicsLimit: 1_000,
    coveredPeersLimit: 400,
    pageLimitEnvelopes: 500,
    pageLimitBytes: 4 * mib,
    installationsLimit: 100,
    grantedInstallationsLimit: 1_000,
    contentLimitBytes: 900 * kib,
    inflatedContentLimitBytes: 8 * mib,
    pageContentLimitBytes: 4 * mib,
    parkedBytes: 16 * mib,
    parkedAddressBytes: 4 * mib,
    lookupAddresses: 500,
    lookupQueriesAtOnce: 10,
    lookupQueryEveryMs: 3_000,
    setAsideBytes: 16 * mib,
    setAsideAddressBytes: 2 * mib,
    internalQueueBytes: 4 * mib,
    batchLimitBytes: 8 * mib,
    sessionsInMemoryBytes: 32 * mib,
    sessionsLimit: 20,
    prunedSessionsLimit: 1_000,
    claimLimitInstallations: 200,
    retransmitLimitDigests: 500,
  })
})

test('what accounts may cost that were not accepted is what section 9 says', () => {
  expect(limits).toMatchObject({
    requestMessagesLimit: 50,
    requestBytesLimit: mib,
    allRequestsMessagesLimit: 5_000,
    allRequestsBytesLimit: 64 * mib,
    requestSessionsLimit: 4,
    prunedRequestSessionsLimit: 100,
    allRequestSessionsLimit: 2_000,
    coveredRequestsLimit: 40,
    parkedRequestsBytes: 8 * mib,
    strangerMemoryMs: 2_592_000_000,
  })
})

test('times are those of sections 1, 2, 5 and 11', () => {
  expect(limits).toMatchObject({
    createdAheadLimitNs: 10n * minuteNs,
    proofLifetimeLimitNs: 10n * minuteNs,
    proofLifetimeNs: 5n * minuteNs,
    sealingKeyWindowNs: dayNs,
    sealingKeysPerWindow: 4,
    sealingKeyLifetimeNs: 30n * dayNs,
    unusedPrekeyLifetimeNs: 90n * dayNs,
    fallbackLifetimeNs: 7n * dayNs,
    lateGrantNs: 3n * dayNs,
    keyOwnerSilenceNs: 35n * dayNs,
    claimMemoryNs: 10n * minuteNs,
    heartbeatNs: 25_000_000_000n,
  })
})

test('what was not delivered is kept for fourteen days and asked for as section 10 says', () => {
  expect(limits).toMatchObject({
    redeliveryMs: 1_209_600_000,
    retransmitRequestsPerHour: 20,
  })
  expect(limits).toMatchObject({
    minuteMs: 60_000,
    hourMs: 3_600_000,
    dayMs: 86_400_000,
    dayNs: 86_400_000_000_000n,
  })
})

test('a stock of prekeys is kept within the numbers of sections 5 and 6', () => {
  expect(limits).toMatchObject({ stockLimit: 100, stockMinimum: 25, stockTarget: 50 })
})

test('section 11: every number has its place above', async () => {
  const { readFile } = await import('node:fs/promises')
  const here = await readFile(new URL(import.meta.url), 'utf8')
  expect(Object.keys(limits).filter((name) => !here.includes(`${name}:`))).toEqual([])
})
