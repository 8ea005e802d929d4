/**
 * Locks and loads the state that a batch of requests depends on.
 *
 * All locks are rows of `topic`, taken in the order of their names, so no two transactions
 * deadlock. A message depends on its installation not being revoked. So a revocation also locks the
 * inboxes and prekeys of the installations that it revokes, and a grant those of the one that it
 * grants.
 */
import { noSigners } from '../../../../src/protocol/account-rules.ts'
import { sealingKeysPerWindow } from '../../../../src/protocol/limits.ts'
import { oneTimeLifetimeNs } from '../lifetimes.ts'
import { booleanOf, bytesOf, integerOf, nullableIntegerOf, textOf } from '../rows.ts'
import { emptyState, type LoadedState, pairKey, receiptKey } from './ledger.ts'
import type { Needs } from './needs.ts'
import type { Session } from './session.ts'

/** Topics that have or had envelopes: their rows are never deleted, so no request has to add them. */
export class KnownTopics {
  readonly #names = new Set<string>()

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** The database may not have what it had. */
  forget(): void {
    this.#names.clear()
  }

  /** To be called after the commit. */
  add(names: Iterable<string>): void {
    if (this.#names.size > maxKnown) this.#names.clear()
    for (const name of names) this.#names.add(name)
  }
}

const maxKnown = 200_000

/** Locks and loads all of it. A topic without envelopes gets a row with sequence 0. */
export async function loadState(
  session: Session,
  needs: Needs,
  known: KnownTopics,
): Promise<LoadedState> {
  const state = emptyState()
  if (needs.revoked.length > 0) await lockRevoked(session, needs, state, known)
  await lockTopics(session, needs.topics, state, known)
  await loadReceipts(session, needs, state)
  await loadInstallations(session, needs, state)
  if (needs.addresses.size > 0) await loadAccounts(session, needs, state)
  if (needs.granted.size > 0) await loadBundles(session, needs, state)
  return state
}

/**
 * A revocation may name any installations, and decides about those of its own account only. Which
 * these are cannot change while the account's contact topic is locked. Contact topics come first in
 * the order of all locks.
 */
async function lockRevoked(
  session: Session,
  needs: Needs,
  state: LoadedState,
  known: KnownTopics,
): Promise<void> {
  const contacts = [...needs.topics].filter((name) => name.startsWith('contact-'))
  await lockTopics(session, contacts, state, known)
  const rows = await session.query(
    'SELECT id, address FROM installation WHERE id = ANY($1::text[])',
    [needs.revoked.map(({ id }) => id)],
  )
  const own = new Set(rows.map((row) => pairKey(textOf(row, 'address'), textOf(row, 'id'))))
  for (const { address, id } of needs.revoked) {
    if (own.has(pairKey(address, id))) needs.addTopicsOf(id)
  }
}

/** Locks those that are not locked yet. */
async function lockTopics(
  session: Session,
  topics: Iterable<string>,
  state: LoadedState,
  known: KnownTopics,
): Promise<void> {
  const names = [...topics].filter((name) => !state.topics.has(name)).sort()
  if (names.length === 0) return
  if (names.some((name) => !known.has(name))) await addTopics(session, names)
  const rows = await session.query(
    `SELECT id, name, sequence, node_ns FROM topic WHERE name = ANY($1::text[])
     ORDER BY name FOR UPDATE`,
    [names],
  )
  for (const row of rows) {
    state.topics.set(textOf(row, 'name'), {
      id: integerOf(row, 'id'),
      sequence: integerOf(row, 'sequence'),
      nodeNs: integerOf(row, 'node_ns'),
    })
  }
}

/**
 * Rows are inserted in the order of the locks, so transactions wait for new rows in that order too.
 */
async function addTopics(session: Session, names: readonly string[]): Promise<void> {
  await session.query(
    `INSERT INTO topic (name, sequence, node_ns)
     SELECT name, 0, 0 FROM unnest($1::text[]) WITH ORDINALITY AS asked (name, place)
     ORDER BY place ON CONFLICT (name) DO NOTHING`,
    [names],
  )
}

async function loadReceipts(session: Session, needs: Needs, state: LoadedState): Promise<void> {
  const asked = needs.digests.flatMap(({ topic, digest }) => {
    const known = state.topics.get(topic)
    return known !== undefined && known.sequence > 0n ? [{ topic, id: known.id, digest }] : []
  })
  if (asked.length === 0) return
  const rows = await session.query(
    `SELECT asked.place, envelope.sequence, envelope.node_ns
     FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS asked (topic, digest, place)
     JOIN envelope ON envelope.topic = asked.topic AND envelope.digest = asked.digest`,
    [asked.map(({ id }) => id), asked.map(({ digest }) => digest)],
  )
  for (const row of rows) {
    const one = asked[Number(integerOf(row, 'place')) - 1]
    if (one === undefined) continue
    state.receipts.set(receiptKey(one.topic, one.digest), {
      sequence: integerOf(row, 'sequence'),
      nodeNs: integerOf(row, 'node_ns'),
      fresh: false,
    })
  }
}

async function loadInstallations(
  session: Session,
  needs: Needs,
  state: LoadedState,
): Promise<void> {
  if (needs.installations.size === 0) return
  for (const id of needs.installations) state.installations.set(id, undefined)
  const rows = await session.query(
    `SELECT id, address, ed25519, revoked, vouched, sealing_created_ns, newest_upload_ns
     FROM installation WHERE id = ANY($1::text[])`,
    [[...needs.installations]],
  )
  for (const row of rows) {
    state.installations.set(textOf(row, 'id'), {
      address: textOf(row, 'address'),
      ed25519: bytesOf(row, 'ed25519'),
      revoked: booleanOf(row, 'revoked'),
      vouched: booleanOf(row, 'vouched'),
      sealingCreatedNs: integerOf(row, 'sealing_created_ns'),
      newestUploadNs: nullableIntegerOf(row, 'newest_upload_ns'),
    })
  }
}

async function loadAccounts(session: Session, needs: Needs, state: LoadedState): Promise<void> {
  const addresses = [...needs.addresses]
  for (const address of addresses) {
    state.accounts.set(address, noSigners)
    state.counts.set(address, { granted: 0, unrevoked: 0 })
  }
  const accounts = await session.query(
    'SELECT address, chain_id, keyed FROM account WHERE address = ANY($1::text[])',
    [addresses],
  )
  for (const row of accounts) {
    state.accounts.set(textOf(row, 'address'), {
      isKeyed: booleanOf(row, 'keyed'),
      chainId: row.chain_id === null ? undefined : BigInt(textOf(row, 'chain_id')),
    })
  }
  const counts = await session.query(
    `SELECT address, count(*) AS granted, count(*) FILTER (WHERE NOT revoked) AS unrevoked
     FROM installation WHERE address = ANY($1::text[]) GROUP BY address`,
    [addresses],
  )
  for (const row of counts) {
    state.counts.set(textOf(row, 'address'), {
      granted: Number(integerOf(row, 'granted')),
      unrevoked: Number(integerOf(row, 'unrevoked')),
    })
  }
  const pairs = [...needs.pairs.values()]
  for (const key of needs.pairs.keys()) state.revocations.set(key, false)
  const revocations = await session.query(
    `SELECT revocation.address, revocation.installation
     FROM unnest($1::text[], $2::text[]) AS asked (address, id)
     JOIN revocation ON revocation.address = asked.address AND revocation.installation = asked.id`,
    [pairs.map(({ address }) => address), pairs.map(({ id }) => id)],
  )
  for (const row of revocations) {
    state.revocations.set(pairKey(textOf(row, 'address'), textOf(row, 'installation')), true)
  }
}

async function loadBundles(session: Session, needs: Needs, state: LoadedState): Promise<void> {
  for (const id of needs.granted) state.bundles.set(id, [])
  const rows = await session.query(
    `SELECT asked.id AS installation, bundle.node_ns FROM unnest($1::text[]) AS asked (id)
     CROSS JOIN LATERAL (SELECT node_ns FROM accepted_bundle WHERE installation = asked.id
       ORDER BY sequence DESC LIMIT ${sealingKeysPerWindow}) AS bundle`,
    [[...needs.granted]],
  )
  for (const row of rows) {
    const id = textOf(row, 'installation')
    state.bundles.set(id, [...(state.bundles.get(id) ?? []), integerOf(row, 'node_ns')])
  }
}

/** To be called once the time is known: keys that are too old by then do not count. */
export async function loadStocks(
  session: Session,
  needs: Needs,
  state: LoadedState,
  nowNs: bigint,
): Promise<void> {
  const ids = new Set([...needs.uploading, ...needs.granted])
  if (ids.size === 0) return
  for (const id of ids) state.stocks.set(id, 0)
  const rows = await session.query(
    `SELECT installation, count(*) AS count FROM prekey
     WHERE installation = ANY($1::text[]) AND NOT is_fallback AND stored_ns > $2
     GROUP BY installation`,
    [[...ids], nowNs - oneTimeLifetimeNs],
  )
  for (const row of rows) {
    state.stocks.set(textOf(row, 'installation'), Number(integerOf(row, 'count')))
  }
}
