/** Several processes on one PostgreSQL: each a store of its own, none of them special. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createRateLimits } from '../../node/src/limits/rate-limits.ts'
import type { GroupCommitStore, StoreOptions } from '../../node/src/store/group-commit.ts'
import { openPostgresStore, type PostgresOptions } from '../../node/src/store/postgres/postgres.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { PrekeyKind } from '../../src/gen/padlock/v1/contact_pb.ts'
import { aDatabase } from '../support/postgres.ts'
import {
  dayNs,
  everything,
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  readRefusal,
  refusalOf,
  register,
  revocation,
  TestInstallation,
  TestStream,
  testAccount,
} from './support.ts'

interface Process {
  readonly store: GroupCommitStore
  readonly client: NodeClient
}

let url: string
const open: (() => Promise<void>)[] = []

const openStore = async (
  options: Partial<PostgresOptions & StoreOptions> = {},
): Promise<GroupCommitStore> => openPostgresStore({ url, ...options })

/** A node on the shared database. */
const start = async (options?: Partial<PostgresOptions & StoreOptions>): Promise<Process> => {
  const store = await openStore(options)
  const node = serveInProcess(store)
  open.push(() => node.close())
  return { store, client: nodeClient(node.transport) }
}

/** Something to ask the database itself. */
const ask = async (text: string, values: unknown[] = []) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

beforeEach(async () => {
  url = await aDatabase()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()))
})

const readInbox = async ({ store }: Process, { inbox }: TestInstallation) =>
  (await store.page([{ topic: inbox, afterSequence: 0n }], everything)).envelopes

const follow = async ({ client }: Process, owners: readonly TestInstallation[]) => {
  const { nodeId, nodeNs } = await client.getInfo({})
  const stream = new TestStream(client, {
    topics: owners.map(({ inbox }) => ({ topic: inbox, afterSequence: 0n })),
    proofs: owners.map((one) => one.proof(nodeId, nodeNs + 5n * minuteNs)),
  })
  onTestFinished(() => stream.close())
  await stream.nextOf('caughtUp')
  return stream
}

/** A stream of one inbox after a sequence number, with all that it carries. */
const reopen = async ({ client }: Process, owner: TestInstallation, afterSequence: bigint) => {
  const { nodeId, nodeNs } = await client.getInfo({})
  const stream = new TestStream(client, {
    topics: [{ topic: owner.inbox, afterSequence }],
    proofs: [owner.proof(nodeId, nodeNs + 5n * minuteNs)],
  })
  onTestFinished(() => stream.close())
  return stream
}

test('processes that start at once make one database with one node id', async () => {
  const stores = await Promise.all([1, 2, 3, 4, 5].map(() => openStore()))
  const ids = new Set(stores.map(({ nodeId }) => Buffer.from(nodeId).toString('hex')))
  expect(ids.size).toBe(1)
  await Promise.all(stores.map((store) => store.close()))
  const again = await start()
  expect(Buffer.from(again.store.nodeId).toString('hex')).toBe([...ids][0])
})

test('a database of a newer release is refused and left alone', async () => {
  await (await openStore()).close()
  await ask(`UPDATE meta SET value = '\\x63' WHERE name = 'version'`)
  await expect(openStore()).rejects.toThrow(/newer release/)
  const rows = await ask(`SELECT value FROM meta WHERE name = 'version'`)
  expect(rows).toEqual([{ value: Buffer.of(0x63) }])
})

test('a server that acknowledges before it wrote is refused', async () => {
  const name = new URL(url).pathname.slice(1)
  await ask(`ALTER DATABASE "${name}" SET synchronous_commit = off`)
  await expect(openStore()).rejects.toThrow(/synchronous_commit = off/)
})

test('what one process stores is known to the others before any rule', async () => {
  const [one, two] = await Promise.all([start(), start()])
  const nowNs = one.store.clock()
  const bob = await register(one.client, 'bob', nowNs)
  const letter = inboxEnvelope(bob, 'letter')
  const first = await one.client.publish({ envelopes: [letter] })
  await one.client.publish({ envelopes: [await revocation(bob.account, [bob])] })
  expect((await two.client.publish({ envelopes: [letter] })).receipts).toEqual(first.receipts)
  expect(
    await refusalOf(two.client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })),
  ).toMatchObject({
    code: 'recipient_gone',
  })
})

test('the same bytes at all processes at once are stored once', async () => {
  const processes = await Promise.all([start(), start(), start()])
  const [one] = processes
  const bob = await register(one.client, 'bob', one.store.clock())
  for (let n = 0; n < 20; n += 1) {
    const envelopes = [inboxEnvelope(bob, `letter ${n}`)]
    const answers = await Promise.all(processes.map(({ client }) => client.publish({ envelopes })))
    const receipts = new Set(answers.map(({ receipts: [r] }) => `${r?.sequence} ${r?.nodeNs}`))
    expect(receipts.size).toBe(1)
  }
  expect(await readInbox(one, bob)).toHaveLength(20)
})

test('numbers have no gap and times rise when all processes write to the same topics', async () => {
  const processes = await Promise.all([start(), start(), start()])
  const [one] = processes
  const owners: TestInstallation[] = []
  for (let n = 0; n < 5; n += 1) owners.push(await register(one.client, `o${n}`, one.store.clock()))
  const receipts = new Map<string, bigint[]>()
  await Promise.all(
    processes.flatMap(({ client }, p) =>
      [0, 1, 2, 3].map(async (caller) => {
        for (let n = 0; n < 15; n += 1) {
          // In another order each time: locks are taken in one order all the same.
          const order = [...owners.slice(n % 5), ...owners.slice(0, n % 5)]
          const envelopes = order.map((owner) => inboxEnvelope(owner, `${p} ${caller} ${n}`))
          const answer = await client.publish({ envelopes })
          for (const [at, { sequence }] of answer.receipts.entries()) {
            const topic = envelopes[at]?.topic ?? ''
            receipts.set(topic, [...(receipts.get(topic) ?? []), sequence])
          }
        }
      }),
    ),
  )
  for (const owner of owners) {
    const envelopes = await readInbox(one, owner)
    expect(envelopes.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 180 }, (_, n) => BigInt(n + 1)),
    )
    const times = envelopes.map(({ nodeNs }) => nodeNs)
    expect(times.every((at, n) => n === 0 || at > (times[n - 1] ?? at))).toBe(true)
    expect(new Set(receipts.get(owner.inbox)).size).toBe(180)
  }
})

test('a key is claimed once, at whichever process, and a retry elsewhere gets it again', async () => {
  const processes = await Promise.all([start(), start(), start()])
  const [one] = processes
  const bob = await register(one.client, 'bob', one.store.clock())
  const upload = bob.upload({ createdNs: one.store.clock(), oneTime: 60, fallback: true })
  await one.client.publish({ envelopes: [upload] })
  const keys = new Map<string, string[]>()
  await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const claimId = Buffer.alloc(16, n + 1)
      // Each claim is sent to two processes at once.
      const both = await Promise.all(
        [n, n + 1].map((at) =>
          processes[at % 3]?.client.claimPrekeys({ claimId, installationIds: [bob.id] }),
        ),
      )
      keys.set(
        String(n),
        both.map((answer) =>
          Buffer.from(answer?.claimed[0]?.prekey?.curve25519 ?? []).toString('hex'),
        ),
      )
    }),
  )
  for (const [first, second] of keys.values()) expect(second).toBe(first)
  expect(new Set([...keys.values()].flat()).size).toBe(50)
  expect((await one.store.stock(bob.id)).oneTimeLeft).toBe(10)
})

test('envelopes and a revocation at once: nothing is taken after the revocation was acknowledged', async () => {
  const [one, two] = await Promise.all([start(), start()])
  const nowNs = one.store.clock()
  for (let round = 0; round < 5; round += 1) {
    const bob = await register(one.client, `bob ${round}`, nowNs)
    let acknowledged = false
    let after = 0
    const writing = Promise.all(
      [0, 1, 2, 3].map(async (writer) => {
        for (let n = 0; n < 60; n += 1) {
          const began = acknowledged
          const envelopes = [inboxEnvelope(bob, `${writer} ${n}`)]
          const taken = await two.client.publish({ envelopes }).then(
            () => true,
            () => false,
          )
          if (taken && began) after += 1
          if (!taken) return
        }
      }),
    )
    await one.client.publish({ envelopes: [await revocation(bob.account, [bob])] })
    acknowledged = true
    await writing
    expect(after).toBe(0)
  }
})

test('an id that two accounts grant at once belongs to one of them', async () => {
  const [one, two] = await Promise.all([start(), start()])
  const nowNs = one.store.clock()
  for (let n = 0; n < 10; n += 1) {
    const claims = ['alice', 'bob'].map((name) => new TestInstallation(testAccount(name), `x${n}`))
    const bundles = await Promise.all(claims.map((one) => one.bundle(nowNs)))
    const answers = await Promise.allSettled(
      bundles.map((bundle, at) => [one, two][at]?.client.publish({ envelopes: [bundle] })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  }
})

test('refused requests leave no topics behind', async () => {
  const { client } = await start()
  const stranger = new TestInstallation(testAccount('nobody'), 'nobody')
  await refusalOf(client.publish({ envelopes: [inboxEnvelope(stranger, 'a')] }))
  expect(await ask('SELECT count(*)::int AS count FROM topic')).toEqual([{ count: 0 }])
})

describe.each(['notify', 'poll'] as const)('doorbell %s', (doorbell) => {
  test('what is stored at one process reaches the readers of another', async () => {
    const [one, two] = await Promise.all([start({ doorbell }), start({ doorbell })])
    const bob = await register(one.client, 'bob', one.store.clock())
    const stream = await follow(two, [bob])
    for (let n = 0; n < 5; n += 1) {
      await one.client.publish({ envelopes: [inboxEnvelope(bob, `letter ${n}`)] })
      const [envelope] = await stream.envelopes(1)
      expect(envelope?.sequence).toBe(BigInt(n + 1))
    }
    const { nodeId, nodeNs } = await two.client.getInfo({})
    const stocks = new TestStream(two.client, {
      topics: [{ topic: `prekey-${bob.id}`, afterSequence: 0n }],
      proofs: [bob.proof(nodeId, nodeNs + minuteNs)],
    })
    onTestFinished(() => stocks.close())
    await stocks.nextOf('caughtUp')
    const upload = bob.upload({ createdNs: one.store.clock(), oneTime: 2 })
    await one.client.publish({ envelopes: [upload] })
    await one.client.claimPrekeys({ claimId: Buffer.alloc(16, 1), installationIds: [bob.id] })
    expect(await stocks.nextOf('prekeyStock')).toMatchObject({ oneTimeLeft: 1 })
  })

  test('readers of one process miss nothing and see nothing twice while two others publish', async () => {
    const [one, two, three] = await Promise.all([
      start({ doorbell }),
      start({ doorbell }),
      start({ doorbell }),
    ])
    const owners: TestInstallation[] = []
    for (let n = 0; n < 20; n += 1) {
      owners.push(await register(one.client, `owner ${n}`, one.store.clock()))
    }
    const stream = await follow(three, owners)
    const each = 60
    const publish = async ({ client }: Process, name: string) => {
      for (let n = 0; n < each; n += 1) {
        await client.publish({
          envelopes: owners.map((owner) => inboxEnvelope(owner, `${name} ${n}`)),
        })
      }
    }
    // The third one publishes too: its own and others' news go to the same readers.
    const publishing = Promise.all([
      publish(one, 'one'),
      publish(two, 'two'),
      publish(three, 'three'),
    ])
    const positions = new Map<string, bigint>()
    for (let seen = 0; seen < 3 * each * owners.length; ) {
      for (const { topic, sequence } of (await stream.nextOf('envelopes')).envelopes) {
        expect(sequence).toBe((positions.get(topic) ?? 0n) + 1n)
        positions.set(topic, sequence)
        seen += 1
      }
    }
    await publishing
  })

  test('connections that break delay news, and lose nothing', async () => {
    const [one, two] = await Promise.all([start({ doorbell }), start({ doorbell })])
    const bob = await register(one.client, 'bob', one.store.clock())
    const streams = await Promise.all(
      [one, two].map(async (process) => ({ process, stream: await follow(process, [bob]) })),
    )
    let stored = 0
    for (let n = 0; n < 40; n += 1) {
      const name = `letter ${n}`
      if (n % 10 === 5) {
        void ask(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name LIKE 'padlock-node%'`,
        )
      }
      // As clients do: the same bytes again until there is an answer.
      for (;;) {
        const answer = await one.client
          .publish({ envelopes: [inboxEnvelope(bob, name)] })
          .catch(() => null)
        if (answer !== null) break
      }
      stored += 1
    }
    for (const { process, stream } of streams) {
      const sequences: bigint[] = []
      for (let current = stream; sequences.length < stored; ) {
        try {
          sequences.push(...(await current.envelopes(1)).map(({ sequence }) => sequence))
        } catch (error) {
          // A read on a broken connection ends the stream; clients go on after what they have.
          if (readRefusal(error).code !== 'unavailable') throw error
          current = await reopen(process, bob, BigInt(sequences.length))
        }
      }
      expect(sequences).toEqual(Array.from({ length: stored }, (_, n) => BigInt(n + 1)))
    }
  })

  test('a process that was away longer than the list reaches back reads its topics again', async () => {
    const [one, two] = await Promise.all([start({ doorbell }), start({ doorbell })])
    const bob = await register(one.client, 'bob', one.store.clock())
    const stream = await follow(two, [bob])
    // A transaction that lists itself and whose list entry is gone when the other one looks.
    await ask(
      `WITH old AS (SELECT * FROM topic WHERE name = $1),
         now AS (INSERT INTO topic (name, sequence, node_ns) VALUES ($1, 1, $2) RETURNING id),
         row AS (INSERT INTO envelope SELECT id, 1, $2, 3, sha256('abc'), 'abc' FROM now)
       UPDATE writer SET number = number + 1 WHERE id = (SELECT max(id) FROM writer WHERE number > 0)`,
      [bob.inbox, one.store.clock()],
    )
    const [envelope] = await stream.envelopes(1)
    expect(envelope).toMatchObject({ sequence: 1n, message: Uint8Array.from(Buffer.from('abc')) })
  })
})

test('whoever writes does not wait for readers, however many wait', async () => {
  const { client, store } = await start({ connections: 4 })
  const bob = await register(client, 'bob', store.clock())
  const holder = new pg.Client({ connectionString: url })
  await holder.connect()
  onTestFinished(() => holder.end())
  // Readers of stocks wait for this.
  await holder.query('BEGIN')
  await holder.query('LOCK TABLE prekey IN ACCESS EXCLUSIVE MODE')
  const reading = Array.from({ length: 20 }, () => store.stock(bob.id).catch(() => {}))
  await expect
    .poll(
      async () => (await ask('SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted'))[0]?.n,
    )
    .toBe(2)
  await client.publish({ envelopes: [inboxEnvelope(bob, 'meanwhile')] })
  expect(await store.takesWrites()).toBe(true)
  await holder.query('ROLLBACK')
  await Promise.all(reading)
})

test('what all callers may claim of one stock they may at all processes together, and after a restart', async () => {
  const limits = () =>
    createRateLimits({ targetClaimsPerHour: 60, targetClaimsBurst: 4, callerTargetClaimsBurst: 10 })
  const startLimited = async () => {
    const node = serveInProcess(await openStore(), { limits: limits() })
    open.push(() => node.close())
    return nodeClient(node.transport)
  }
  const one = await start()
  const [two, three] = await Promise.all([startLimited(), startLimited()])
  const bob = await register(one.client, 'bob', one.store.clock())
  const createdNs = one.store.clock()
  await one.client.publish({ envelopes: [bob.upload({ createdNs, oneTime: 40, fallback: true })] })
  const kinds = async (client: NodeClient) => {
    const claimed = []
    for (let n = 0; n < 5; n += 1) {
      const claimId = randomBytes(16)
      claimed.push(...(await client.claimPrekeys({ claimId, installationIds: [bob.id] })).claimed)
    }
    return claimed.map(({ prekey }) => prekey?.kind)
  }
  const given = [
    ...(await Promise.all([kinds(two), kinds(three)])).flat(),
    ...(await kinds(await startLimited())),
  ]
  expect(given.filter((kind) => kind === PrekeyKind.ONE_TIME)).toHaveLength(4)
  expect(given.filter((kind) => kind === PrekeyKind.FALLBACK)).toHaveLength(11)
})

test('a sweep forgets the list, and numbers go on', async () => {
  const { client, store } = await start()
  const bob = await register(client, 'bob', store.clock())
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  await ask('UPDATE batch SET stored_ns = stored_ns - $1::bigint', [dayNs])
  await store.sweep()
  expect(await ask('SELECT count(*)::int AS count FROM batch')).toEqual([{ count: 0 }])
  const [receipt] = (await client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })).receipts
  expect(receipt?.sequence).toBe(2n)
})
