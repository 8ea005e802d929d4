/** check: it says nothing to what a node left, and finds damage, in SQLite and in PostgreSQL. */
import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { aDatabase } from '../support/postgres.ts'
import { alice, bob, check, fill, gone, makeFolders, nowNs, restore } from './operator.ts'

let folder: string
let data: string
let file: string
beforeEach(() => {
  ;({ folder, data, file } = makeFolders())
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Damage by direct SQL that both engines understand, and what a check says to it. */
const topicOf = (name: string) => `(SELECT id FROM topic WHERE name = '${name}')`
const onTopic = (name: string, sequence: number) =>
  `topic = ${topicOf(name)} AND sequence = ${sequence}`
const contact = `contact-${bob.account.address}`
const revoked = `revoked-${bob.account.address}`
const damages: [string, string, RegExp][] = [
  ['a gap', `DELETE FROM envelope WHERE ${onTopic(bob.inbox, 3)}`, /4: envelopes between 2 and it/],
  [
    'a first bundle that is gone',
    `DELETE FROM envelope WHERE ${onTopic(contact, 1)}`,
    /contact-\w+ 2: the envelopes before it are missing/,
  ],
  [
    'a last envelope that is gone',
    `DELETE FROM envelope WHERE ${onTopic(bob.inbox, 5)}`,
    /4: the last is missing, up to 5/,
  ],
  [
    'a revocation that is gone',
    `DELETE FROM envelope WHERE ${onTopic(revoked, 1)}`,
    /revoked-\w+: all of its envelopes are missing/,
  ],
  [
    'a topic that counts too little',
    `UPDATE topic SET sequence = 4 WHERE name = '${bob.inbox}'`,
    /5: the topic counts only 4/,
  ],
  [
    'a topic with another time',
    `UPDATE topic SET node_ns = node_ns + 1 WHERE name = '${bob.inbox}'`,
    /5: the topic has another time/,
  ],
  [
    'a time that goes back',
    `UPDATE envelope SET node_ns = 1 WHERE ${onTopic(bob.inbox, 2)}`,
    /2: its time is before that of the previous/,
  ],
  [
    'a wrong size',
    `UPDATE envelope SET size = 63 WHERE ${onTopic(alice.inbox, 2)}`,
    /2: the size is not that/,
  ],
  [
    'a message that is gone',
    `UPDATE envelope SET message = NULL WHERE ${onTopic(alice.inbox, 2)}`,
    /2: the message is missing/,
  ],
  [
    'envelopes without a topic',
    `UPDATE envelope SET topic = 4711 WHERE ${onTopic(bob.inbox, 5)}`,
    /topic 4711: envelopes lie on a topic that is not there/,
  ],
  [
    'an installation that no row has',
    `DELETE FROM installation WHERE id = '${bob.id}'`,
    new RegExp(`${bob.id}: the table lacks an installation`),
  ],
  [
    'an installation with another address',
    `UPDATE installation SET address = '${alice.account.address}' WHERE id = '${bob.id}'`,
    /another address for the installation/,
  ],
  [
    'a sealing key with another time',
    `UPDATE installation SET sealing_created_ns = 5 WHERE id = '${alice.id}'`,
    /another time for the sealing key/,
  ],
  [
    'a revocation that no row has',
    'DELETE FROM revocation',
    new RegExp(`lacks the revocation of ${gone.id}`),
  ],
  [
    'a revocation that nobody published',
    `INSERT INTO revocation (address, installation) VALUES ('${bob.account.address}', '${bob.id}')`,
    /a revocation that the topic has not/,
  ],
  [
    'an account of another kind',
    `UPDATE account SET chain_id = '1' WHERE address = '${bob.account.address}'`,
    /another signer for the account/,
  ],
  [
    'an account whose key is forgotten',
    `UPDATE account SET keyed = 0 WHERE address = '${bob.account.address}'`,
    /another signer for the account/,
  ],
  [
    'a vouch that nobody published',
    `UPDATE installation SET vouched = 1 WHERE id = '${bob.id}'`,
    /differ on whether the installation has a vouch/,
  ],
  ['an account that no row has', 'DELETE FROM account', /the table has no such account/],
  [
    'recent sealing keys that are forgotten',
    `DELETE FROM accepted_bundle WHERE installation = '${alice.id}'`,
    /the table of recent sealing keys lacks number 1/,
  ],
  [
    'a prekey of a revoked installation',
    `UPDATE prekey SET installation = '${gone.id}' WHERE id = (SELECT max(id) FROM prekey)`,
    /a key in stock is of a revoked installation/,
  ],
  [
    'a prekey of another installation',
    `UPDATE prekey SET installation = '${alice.id}' WHERE id = (SELECT max(id) FROM prekey)`,
    /a key in stock has a signature that does not verify/,
  ],
  [
    'an inbox of nobody',
    `UPDATE topic SET name = 'message-${'A'.repeat(43)}' WHERE name = '${bob.inbox}'`,
    /the topic is of an installation that no contact topic names/,
  ],
  [
    'a one-time key that is there after it was given out',
    `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
     SELECT installation, is_fallback, curve25519, created_ns, signature, claimed_ns FROM claim`,
    /a one-time key that was given out is still in stock/,
  ],
  [
    'a one-time key that was given out twice',
    `UPDATE claim SET curve25519 = (SELECT curve25519 FROM claim AS c WHERE c.installation = claim.installation
       ORDER BY curve25519 LIMIT 1)`,
    /a one-time key was given out twice/,
  ],
]

// Bytes are written differently in the two engines.
const byteDamages: [string, (bytes: (hex: string) => string) => string, RegExp][] = [
  [
    'a wrong digest',
    (bytes) =>
      `UPDATE envelope SET digest = ${bytes('ab'.repeat(32))} WHERE ${onTopic(bob.inbox, 2)}`,
    /2: the digest is not that of the message/,
  ],
  [
    'a key that is not the installation’s',
    (bytes) => `UPDATE installation SET ed25519 = ${bytes('cd'.repeat(32))} WHERE id = '${bob.id}'`,
    /another key for the installation/,
  ],
]

/** A bundle whose last byte, in the sealing key's signature, is another, with the digest to fit. */
async function flippedBundle() {
  const { topic, message } = await bob.bundle(nowNs)
  const flipped = Uint8Array.from(message)
  const last = flipped.length - 1
  flipped[last] = (flipped[last] ?? 0) ^ 1
  const digest = await crypto.subtle.digest('SHA-256', flipped)
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  return { topic, message: hex(flipped), digest: hex(new Uint8Array(digest)) }
}
const flipDamage = async (bytes: (hex: string) => string) => {
  const { topic, message, digest } = await flippedBundle()
  return `UPDATE envelope SET message = ${bytes(message)}, digest = ${bytes(digest)}
    WHERE ${onTopic(topic, 1)}`
}
const flipped = /contact-\w+ 1: the sealing key's signature does not verify/

describe('a check of a SQLite file', () => {
  beforeEach(async () => {
    const store = openSqliteStore({ file })
    await fill(store)
    await store.close()
  })
  const bytes = (hex: string) => `x'${hex}'`
  const damage = (sql: string) => {
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA foreign_keys = OFF')
    raw.exec(sql)
    raw.close()
  }

  test('says nothing to what a node left', async () => {
    const { code, text } = await check('--data', data)
    expect(text).toMatch(/envelopes +19,/)
    expect(text).toMatch(/accounts +2, with 3 installations/)
    expect(text).toMatch(/prekeys +8 in stock, 4 claims/)
    expect(text).toMatch(/problems +none/)
    expect(code).toBe(0)
  })

  test.each(damages)('finds %s', async (_, sql, finding) => {
    damage(sql)
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(finding),
    })
  })

  test.each(byteDamages)('finds %s', async (_, sql, finding) => {
    damage(sql(bytes))
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(finding),
    })
  })

  test('finds a flipped bit in a signature', async () => {
    damage(await flipDamage(bytes))
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(flipped),
    })
  })

  test('finds tables that are not those of a node, and names a newer release', async () => {
    damage('DROP INDEX prekey_age')
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/tables or indexes/),
    })
    damage('PRAGMA user_version = 99')
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/newer release/),
    })
  })

  test('prints the first of many problems, and how many more there are', async () => {
    damage(`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 150)
      INSERT INTO revocation SELECT 'nobody', n FROM n`)
    const { code, text } = await check('--data', data)
    expect(code).toBe(1)
    expect(text).toMatch(/and 50 more problems/)
    expect(text).toMatch(/problems +150/)
  })
})

describe('a check of PostgreSQL', () => {
  const bytes = (hex: string) => `'\\x${hex}'`
  async function filled() {
    const url = await aDatabase()
    const store = await openPostgresStore({ url })
    await fill(store)
    return { url, store }
  }

  test('says nothing to what a node left, while it runs; its id is renewed once none does', async () => {
    const { url, store } = await filled()
    const { code, text } = await check('--database', url)
    expect(text).toMatch(/envelopes +19,/)
    expect(text).toMatch(/prekeys +8 in stock, 4 claims/)
    expect(text).toMatch(/problems +none/)
    expect(code).toBe(0)
    expect(await restore('--renew-id', '--database', url)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/nodes run on this database/),
    })
    await store.close()
    const renewed = await restore('--renew-id', '--database', url)
    const before = Buffer.from(store.nodeId).toString('hex')
    expect(renewed).toMatchObject({ code: 0, text: expect.stringContaining(before) })
    const again = await openPostgresStore({ url })
    expect(Buffer.from(again.nodeId).toString('hex')).not.toBe(before)
    expect(renewed.text).toContain(Buffer.from(again.nodeId).toString('hex'))
    await again.close()
  })

  test('finds the same damage', async () => {
    const { url, store } = await filled()
    await store.close()
    // Those whose tables the engines keep differently: each case costs a database.
    const chosen = /^(a gap|a topic that counts|a revocation that no row|a prekey of a revoked)/
    const all: [string, RegExp][] = [
      ...damages
        .filter(([name]) => chosen.test(name))
        .map(([, sql, finding]): [string, RegExp] => [sql, finding]),
      ...byteDamages.map(([, sql, finding]): [string, RegExp] => [sql(bytes), finding]),
      [await flipDamage(bytes), flipped],
    ]
    expect(all).toHaveLength(7)
    for (const [sql, finding] of all) {
      // Each on a fresh copy of the same data.
      const damaged = await cloneOf(url)
      const client = new pg.Client({ connectionString: damaged })
      await client.connect()
      await client.query(sql)
      await client.end()
      const { code, text } = await check('--database', damaged)
      expect(text).toMatch(finding)
      expect(code).toBe(1)
    }
  })

  test('a database without a node’s data is named as such', async () => {
    expect(await check('--database', await aDatabase())).toMatchObject({
      code: 1,
      text: expect.stringMatching(/no data of a node/),
    })
  })
})

async function cloneOf(url: string): Promise<string> {
  const empty = await aDatabase()
  const name = (one: string) => new URL(one).pathname.slice(1)
  const admin = new URL(url)
  admin.pathname = '/postgres'
  const client = new pg.Client({ connectionString: admin.href })
  await client.connect()
  try {
    await client.query(`DROP DATABASE "${name(empty)}"`)
    await client.query(`CREATE DATABASE "${name(empty)}" TEMPLATE "${name(url)}"`)
  } finally {
    await client.end()
  }
  return empty
}
