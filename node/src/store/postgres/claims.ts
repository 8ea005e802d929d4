/**
 * Claims of prekeys: many at once, under the locks of the installations' prekey topics. So no key is
 * given twice, and a retried claim gets what the first one got (docs/protocol.md section 5).
 */
import { claimMemoryNs } from '../../../../src/protocol/limits.ts'
import type { SignedPrekey } from '../../../../src/protocol/prekey.ts'
import { type ClaimBudget, takeFromBudget } from '../claim-budget.ts'
import { oneTimeLifetimeNs } from '../lifetimes.ts'
import type { Operation, Outcome } from '../operations.ts'
import { booleanOf, bytesOf, integerOf, type Row, textOf } from '../rows.ts'
import type { Claim, Stock } from '../store.ts'
import type { Session } from './session.ts'

type ClaimOperation = Extract<Operation, { kind: 'claim' }>
type Claimed = Extract<Outcome, { kind: 'claimed' }>

/** One installation of one claim. */
interface Wish {
  readonly claimId: Uint8Array
  readonly id: string
  readonly isFallbackOnly: boolean
  readonly budget: ClaimBudget | undefined
}

export interface ClaimResult {
  readonly outcomes: readonly Claimed[]
  /** Installations whose stock shrank. */
  readonly shrunk: readonly string[]
}

/** To be called in a transaction. */
export async function claimPrekeys(
  session: Session,
  operations: readonly ClaimOperation[],
  now: () => Promise<bigint>,
): Promise<ClaimResult> {
  const wishes = new Map<string, Wish>()
  for (const { claimId, installationIds, limits: { fallbackOnly, budget } = {} } of operations) {
    for (const id of installationIds) {
      const key = wishKey(claimId, id)
      const isFallbackOnly = fallbackOnly?.has(id) === true
      if (!wishes.has(key)) wishes.set(key, { claimId, id, isFallbackOnly, budget })
    }
  }
  // Who only gets a fallback takes nothing, and locks nothing.
  const taking = [...wishes.values()].filter(({ isFallbackOnly }) => !isFallbackOnly)
  const ids = [...new Set(taking.map(({ id }) => id))]
  if (ids.length > 0)
    await session.query(
      `SELECT 1 FROM topic WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE`,
      [ids.map((id) => `prekey-${id}`)],
    )
  const nowNs = await now()
  const given = await recall(session, [...wishes.values()], nowNs)
  const open = [...wishes].filter(([key]) => !given.has(key))
  const taken = await take(
    session,
    open.map(([, wish]) => wish),
    nowNs,
  )
  for (const [at, [key]] of open.entries()) {
    const prekey = taken.prekeys[at]
    if (prekey !== undefined) given.set(key, prekey)
  }
  const stocks = await readStocks(session, taken.shrunk, nowNs)
  const reported = new Set<string>()
  const outcomes = operations.map(({ claimId, installationIds }): Claimed => {
    const claims = installationIds.map(
      (installationId): Claim => ({
        installationId,
        isOverBudget: taken.overBudget.has(wishKey(claimId, installationId)),
        prekey: given.get(wishKey(claimId, installationId)),
      }),
    )
    const fresh = installationIds.filter((id) => stocks.has(id) && !reported.has(id))
    for (const id of fresh) reported.add(id)
    return { kind: 'claimed', claims, stocks: fresh.flatMap((id) => stocks.get(id) ?? []) }
  })
  return { outcomes, shrunk: taken.shrunk }
}

const wishKey = (claimId: Uint8Array, id: string): string =>
  `${Buffer.from(claimId).toString('hex')} ${id}`

async function recall(session: Session, wishes: readonly Wish[], nowNs: bigint) {
  const rows = await session.query(
    `SELECT claim.claim_id, claim.installation, is_fallback, curve25519, created_ns, signature
     FROM unnest($1::bytea[], $2::text[]) AS asked (claim_id, id)
     JOIN claim ON claim.claim_id = asked.claim_id AND claim.installation = asked.id
     WHERE claimed_ns > $3`,
    [
      wishes.map(({ claimId }) => Buffer.from(claimId)),
      wishes.map(({ id }) => id),
      nowNs - claimMemoryNs,
    ],
  )
  return new Map(
    rows.map((row) => [
      wishKey(bytesOf(row, 'claim_id'), textOf(row, 'installation')),
      prekeyOf(row),
    ]),
  )
}

/**
 * Takes a key for each wish out of the stock and remembers the one-time keys. The keys come in the order of the
 * wishes.
 */
async function take(session: Session, wishes: readonly Wish[], nowNs: bigint) {
  const counts = new Map<string, number>()
  for (const { id, isFallbackOnly } of wishes)
    counts.set(id, (counts.get(id) ?? 0) + (isFallbackOnly ? 0 : 1))
  const ids = [...counts.keys()]
  const rows = await session.query(
    `SELECT wanted.id AS owner, installation.claims_full_ns, key.id, key.is_fallback, curve25519,
       created_ns, signature
     FROM unnest($1::text[], $2::integer[]) AS wanted (id, count)
     JOIN installation ON installation.id = wanted.id AND NOT installation.revoked
     CROSS JOIN LATERAL (
       (SELECT * FROM prekey WHERE prekey.installation = wanted.id AND NOT is_fallback
          AND stored_ns > $3 ORDER BY prekey.id LIMIT wanted.count)
       UNION ALL
       (SELECT * FROM prekey WHERE prekey.installation = wanted.id AND is_fallback
        ORDER BY prekey.id DESC LIMIT 1)
     ) AS key ORDER BY key.id`,
    [ids, ids.map((id) => counts.get(id) ?? 0), nowNs - oneTimeLifetimeNs],
  )
  const oneTime = new Map<string, Row[]>()
  const fallbacks = new Map<string, Row>()
  const budgets = new Map<string, bigint>()
  for (const row of rows) {
    const owner = textOf(row, 'owner')
    budgets.set(owner, integerOf(row, 'claims_full_ns'))
    if (booleanOf(row, 'is_fallback')) fallbacks.set(owner, row)
    else oneTime.set(owner, [...(oneTime.get(owner) ?? []), row])
  }
  const used: bigint[] = []
  const shrunk = new Set<string>()
  const remembered: { readonly wish: Wish; readonly prekey: SignedPrekey }[] = []
  const overBudget = new Set<string>()
  const charged = new Map<string, bigint>()
  /** Takes a one-time key, if there is one and the budget allows it. */
  const takeSingle = ({ claimId, id, isFallbackOnly, budget }: Wish): Row | undefined => {
    const stock = isFallbackOnly ? [] : (oneTime.get(id) ?? [])
    if (budget === undefined || isFallbackOnly) return stock.shift()
    const fullNs = takeFromBudget(budget, charged.get(id) ?? budgets.get(id) ?? 0n, nowNs)
    if (fullNs === undefined) overBudget.add(wishKey(claimId, id))
    else if (stock.length > 0) charged.set(id, fullNs)
    return fullNs === undefined ? undefined : stock.shift()
  }
  const prekeys = wishes.map((wish) => {
    const single = takeSingle(wish)
    const row = single ?? fallbacks.get(wish.id)
    if (row === undefined) return undefined
    if (single !== undefined) {
      used.push(integerOf(single, 'id'))
      shrunk.add(wish.id)
      // A fallback is not used up, so there is nothing to remember.
      remembered.push({ wish, prekey: prekeyOf(single) })
    }
    return prekeyOf(row)
  })
  if (used.length > 0)
    await session.query('DELETE FROM prekey WHERE id = ANY($1::bigint[])', [used])
  if (remembered.length > 0) await remember(session, remembered, nowNs)
  if (charged.size > 0) {
    await session.query(
      `UPDATE installation SET claims_full_ns = new.full_ns
       FROM unnest($1::text[], $2::bigint[]) AS new (id, full_ns) WHERE installation.id = new.id`,
      [[...charged.keys()], [...charged.values()]],
    )
  }
  return { prekeys, shrunk: [...shrunk], overBudget }
}

async function remember(
  session: Session,
  given: readonly { readonly wish: Wish; readonly prekey: SignedPrekey }[],
  nowNs: bigint,
): Promise<void> {
  await session.query(
    `INSERT INTO claim
       (claim_id, installation, is_fallback, curve25519, created_ns, signature, claimed_ns)
     SELECT *, $7::bigint FROM
       unnest($1::bytea[], $2::text[], $3::boolean[], $4::bytea[], $5::bigint[], $6::bytea[])
     ON CONFLICT (claim_id, installation) DO UPDATE SET is_fallback = excluded.is_fallback,
       curve25519 = excluded.curve25519, created_ns = excluded.created_ns,
       signature = excluded.signature, claimed_ns = excluded.claimed_ns`,
    [
      given.map(({ wish }) => Buffer.from(wish.claimId)),
      given.map(({ wish }) => wish.id),
      given.map(({ prekey }) => prekey.kind === 'fallback'),
      given.map(({ prekey }) => Buffer.from(prekey.key)),
      given.map(({ prekey }) => prekey.createdNs),
      given.map(({ prekey }) => Buffer.from(prekey.signature)),
      nowNs,
    ],
  )
}

/** The stocks of these installations; none is missing. */
export async function readStocks(
  session: Session,
  ids: readonly string[],
  nowNs: bigint,
): Promise<ReadonlyMap<string, Stock>> {
  if (ids.length === 0) return new Map()
  const rows = await session.query(
    `SELECT asked.id, coalesce(installation.newest_upload_ns, 0) AS newest, (
       SELECT count(*) FROM prekey WHERE prekey.installation = asked.id AND NOT is_fallback
         AND stored_ns > $2) AS count
     FROM unnest($1::text[]) AS asked (id)
     LEFT JOIN installation ON installation.id = asked.id`,
    [ids, nowNs - oneTimeLifetimeNs],
  )
  return new Map(
    rows.map((row): [string, Stock] => {
      const installationId = textOf(row, 'id')
      const oneTimeLeft = Number(integerOf(row, 'count'))
      return [
        installationId,
        { installationId, oneTimeLeft, newestCreatedNs: integerOf(row, 'newest') },
      ]
    }),
  )
}

const prekeyOf = (row: Row): SignedPrekey => ({
  kind: booleanOf(row, 'is_fallback') ? 'fallback' : 'one-time',
  key: Uint8Array.from(bytesOf(row, 'curve25519')),
  createdNs: integerOf(row, 'created_ns'),
  signature: Uint8Array.from(bytesOf(row, 'signature')),
})
