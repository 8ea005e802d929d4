/**
 * What strangers publish locks nothing of others' in PostgreSQL: while somebody holds the topics of
 * bob's installation, every request that only names it is answered all the same.
 */
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { GroupCommitStore } from '../../node/src/store/group-commit.ts'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { buildContactBundle, grantText } from '../../src/protocol/contact.ts'
import { buildRevocation } from '../../src/protocol/revocation.ts'
import { aDatabase } from '../support/postgres.ts'
import {
  bytesFor,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  revocation,
  type TestAccount,
  TestInstallation,
  testAccount,
} from './support.ts'

let store: GroupCommitStore
let client: NodeClient
let bob: TestInstallation
let locker: pg.Client

beforeEach(async () => {
  const url = await aDatabase()
  store = await openPostgresStore({ url })
  client = nodeClient(serveInProcess(store).transport)
  bob = await register(client, 'bob', store.clock())
  const upload = bob.upload({ createdNs: store.clock(), oneTime: 3, fallback: true })
  await client.publish({ envelopes: [upload, { topic: bob.inbox, message: bytesFor('a') }] })
  locker = new pg.Client({ connectionString: url })
  await locker.connect()
})
afterEach(async () => {
  await locker.end()
  await store.close()
})

/** Until `release`, whoever wants to lock the inbox or the prekeys of bob waits. */
const lockBob = async () => {
  await locker.query('BEGIN')
  const names = [bob.inbox, `prekey-${bob.id}`]
  const rows = await locker.query('SELECT 1 FROM topic WHERE name = ANY($1) FOR UPDATE', [names])
  expect(rows.rowCount).toBe(2)
  return { release: () => locker.query('ROLLBACK') }
}

const signedByNobody = (account: TestAccount, installations: readonly TestInstallation[]) => ({
  topic: `revoked-${account.address}`,
  message: buildRevocation({
    address: account.address,
    currentTime: '2026-11-20T08:13:00.000+01:00',
    installations: [...installations]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ keys }) => keys),
    signature: { kind: 'eip191', signature: Uint8Array.of(...new Uint8Array(64).fill(1), 27) },
  }),
})

test('a revocation that bob did not sign, of whatever size, waits for nobody', async () => {
  const held = await lockBob()
  const others = Array.from({ length: 600 }, (_, n) => new TestInstallation(bob.account, `x${n}`))
  const tooLarge = signedByNobody(bob.account, [bob, ...others])
  expect(await refusalOf(client.publish({ envelopes: [tooLarge] }))).toMatchObject({
    code: 'too_large',
  })
  const small = signedByNobody(bob.account, [bob, ...others.slice(0, 300)])
  expect(await refusalOf(client.publish({ envelopes: [small] }))).toMatchObject({
    code: 'bad_signature',
  })
  await held.release()
})

test("another account's revocation that names bob's device waits for nobody, and does nothing to it", async () => {
  const mallory = testAccount('mallory')
  const held = await lockBob()
  await client.publish({ envelopes: [await revocation(mallory, [bob])] })
  const onBobs = { ...(await revocation(mallory, [bob])), topic: `revoked-${bob.account.address}` }
  expect(await refusalOf(client.publish({ envelopes: [onBobs] }))).toMatchObject({
    code: 'wrong_address',
  })
  await held.release()
  await client.publish({ envelopes: [{ topic: bob.inbox, message: bytesFor('b') }] })
})

test("a grant of bob's device by another account, or signed by nobody, waits for nobody", async () => {
  const mallory = testAccount('mallory')
  const currentTime = '2026-11-20T08:13:00.000+01:00'
  const grant = (signature: Uint8Array, { address }: TestAccount) => ({
    topic: `contact-${address}`,
    message: buildContactBundle({
      ...{ address, currentTime, keys: bob.keys, signature: { kind: 'eip191', signature } },
      sealingKey: { key: bytesFor('k'), createdNs: store.clock(), signature: new Uint8Array(64) },
    }),
  })
  const signature = await mallory.signText(
    grantText({
      ...{ address: mallory.address, currentTime, keys: bob.keys },
      signature: { kind: 'eip191', signature: new Uint8Array() },
    }),
  )
  const held = await lockBob()
  const byMallory = [grant(signature, mallory)]
  expect(await refusalOf(client.publish({ envelopes: byMallory }))).toMatchObject({
    code: 'wrong_address',
  })
  const byNobody = [grant(signature, bob.account)]
  expect(await refusalOf(client.publish({ envelopes: byNobody }))).toMatchObject({
    code: 'bad_signature',
  })
  await held.release()
})

test("bob's own revocation waits for what is being stored, and nothing comes after it", async () => {
  const held = await lockBob()
  const revoking = client.publish({ envelopes: [await revocation(bob.account, [bob])] })
  let revoked = false
  void revoking.then(() => {
    revoked = true
  })
  // Until the database says that somebody waits for the lock.
  await expect
    .poll(
      async () =>
        (await locker.query('SELECT count(*)::int AS count FROM pg_locks WHERE NOT granted'))
          .rows[0]?.count,
    )
    .toBeGreaterThan(0)
  expect(revoked).toBe(false)
  await held.release()
  await revoking
  expect(
    await refusalOf(client.publish({ envelopes: [{ topic: bob.inbox, message: bytesFor('b') }] })),
  ).toMatchObject({ code: 'recipient_gone' })
})
