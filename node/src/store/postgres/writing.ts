/** Writes the changes of a batch: one statement a table, however many requests it has. */
import { sealingKeyWindowNs } from '../../../../src/protocol/limits.ts'
import { type LoadedLedger, type LoadedState, MissingState, type NewRow } from './ledger.ts'
import type { Session } from './session.ts'

export async function writeLedger(
  session: Session,
  ledger: LoadedLedger,
  state: LoadedState,
): Promise<void> {
  if (ledger.rows.length > 0) {
    await writeEnvelopes(session, ledger.rows, state)
    await writeAccounts(session, ledger)
    await writeStocks(session, ledger)
  }
  await dropEmptyTopics(session, state)
}

async function writeEnvelopes(
  session: Session,
  rows: readonly NewRow[],
  { topics }: LoadedState,
): Promise<void> {
  const idOf = (topic: string): bigint => {
    const id = topics.get(topic)?.id
    if (id === undefined) throw new MissingState('an envelope is for a topic that was not loaded')
    return id
  }
  // The bytes travel as two parameters in binary; as items of an array they would be text in hex.
  const messages = rows.map(({ message }) => message ?? new Uint8Array())
  const offsets: number[] = []
  let offset = 1
  for (const message of messages) {
    offsets.push(offset)
    offset += message.length
  }
  await session.query(
    `INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
     SELECT topic, sequence, node_ns, size, substring($5::bytea FROM ((place - 1) * 32 + 1)::int FOR 32),
       CASE WHEN is_kept THEN substring($6::bytea FROM start FOR size) END
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $7::integer[], $8::boolean[])
       WITH ORDINALITY AS new (topic, sequence, node_ns, size, start, is_kept, place)`,
    [
      rows.map(({ topic }) => idOf(topic)),
      rows.map(({ sequence }) => sequence),
      rows.map(({ nodeNs }) => nodeNs),
      rows.map(({ size }) => size),
      Buffer.concat(rows.map(({ digest }) => digest)),
      Buffer.concat(messages),
      offsets,
      rows.map(({ message }) => message !== undefined),
    ],
  )
  const written = [...new Set(rows.map(({ topic }) => topic))]
  const latest = written.flatMap((topic) => topics.get(topic) ?? [])
  await session.query(
    `UPDATE topic SET sequence = new.sequence, node_ns = new.node_ns
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS new (id, sequence, node_ns)
     WHERE topic.id = new.id`,
    [
      latest.map(({ id }) => id),
      latest.map(({ sequence }) => sequence),
      latest.map(({ nodeNs }) => nodeNs),
    ],
  )
}

async function writeAccounts(session: Session, ledger: LoadedLedger): Promise<void> {
  const { changedAccounts, changedInstallations, newBundles, newRevocations } = ledger
  if (changedAccounts.size > 0) {
    const signers = [...changedAccounts.values()]
    await session.query(
      `INSERT INTO account (address, chain_id, keyed)
       SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[])
       ON CONFLICT (address) DO UPDATE SET chain_id = excluded.chain_id, keyed = excluded.keyed`,
      [
        [...changedAccounts.keys()],
        signers.map(({ chainId }) => chainId?.toString() ?? null),
        signers.map(({ isKeyed }) => isKeyed),
      ],
    )
  }
  if (changedInstallations.size > 0) {
    const ids = [...changedInstallations.keys()]
    const all = [...changedInstallations.values()]
    await session.query(
      `INSERT INTO installation
         (id, address, ed25519, revoked, sealing_created_ns, newest_upload_ns, vouched)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::boolean[], $5::bigint[],
         $6::bigint[], $7::boolean[])
       ON CONFLICT (id) DO UPDATE SET revoked = excluded.revoked, vouched = excluded.vouched,
         sealing_created_ns = excluded.sealing_created_ns,
         newest_upload_ns = excluded.newest_upload_ns`,
      [
        ids,
        all.map(({ address }) => address),
        all.map(({ ed25519 }) => Buffer.from(ed25519)),
        all.map(({ revoked }) => revoked),
        all.map(({ sealingCreatedNs }) => sealingCreatedNs),
        all.map(({ newestUploadNs }) => newestUploadNs ?? null),
        all.map(({ vouched }) => vouched),
      ],
    )
  }
  if (newBundles.length > 0) {
    await session.query(
      `INSERT INTO accepted_bundle (installation, sequence, node_ns)
       SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])`,
      [
        newBundles.map(({ installation }) => installation),
        newBundles.map(({ sequence }) => sequence),
        newBundles.map(({ nodeNs }) => nodeNs),
      ],
    )
    await session.query(
      `DELETE FROM accepted_bundle USING unnest($1::text[], $2::bigint[]) AS new (id, until_ns)
       WHERE installation = new.id AND node_ns <= new.until_ns`,
      [
        newBundles.map(({ installation }) => installation),
        newBundles.map(({ nodeNs }) => nodeNs - sealingKeyWindowNs),
      ],
    )
  }
  if (newRevocations.size > 0) {
    const revoked = [...newRevocations.values()]
    await session.query(
      `INSERT INTO revocation (address, installation)
       SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING`,
      [revoked.map(({ address }) => address), revoked.map(({ id }) => id)],
    )
  }
}

async function writeStocks(session: Session, { stockChanges }: LoadedLedger): Promise<void> {
  if (stockChanges.size === 0) return
  const changes = [...stockChanges]
  await session.query(
    `DELETE FROM prekey USING unnest($1::text[], $2::boolean[], $3::boolean[])
       AS change (id, one_time, fallback)
     WHERE installation = change.id
       AND CASE WHEN is_fallback THEN change.fallback ELSE change.one_time END`,
    [
      changes.map(([id]) => id),
      changes.map(([, { dropsOneTime }]) => dropsOneTime),
      changes.map(([, { dropsFallback }]) => dropsFallback),
    ],
  )
  const added = changes.flatMap(([id, change]) => change.added.map((one) => ({ id, ...one })))
  await session.query(
    `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
     SELECT id, is_fallback, curve25519, created_ns, signature, stored_ns
     FROM unnest($1::text[], $2::boolean[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[])
       WITH ORDINALITY AS new (id, is_fallback, curve25519, created_ns, signature, stored_ns, place)
     ORDER BY place`,
    [
      added.map(({ id }) => id),
      added.map(({ prekey }) => prekey.kind === 'fallback'),
      added.map(({ prekey }) => Buffer.from(prekey.key)),
      added.map(({ prekey }) => prekey.createdNs),
      added.map(({ prekey }) => Buffer.from(prekey.signature)),
      added.map(({ storedNs }) => storedNs),
    ],
  )
}

/** Drops the rows of topics without envelopes, which only served as locks. */
async function dropEmptyTopics(session: Session, { topics }: LoadedState): Promise<void> {
  const empty = [...topics.values()].filter(({ sequence }) => sequence === 0n)
  if (empty.length === 0) return
  await session.query('DELETE FROM topic WHERE id = ANY($1::bigint[])', [empty.map(({ id }) => id)])
}
