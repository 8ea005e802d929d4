/**
 * The tables of the PostgreSQL store, as numbered steps. A database gets the steps that it lacks, in
 * place. A step, once released, does not change.
 */

const first = `
-- The latest sequence and node_ns of each topic; kept when its envelopes go. Whoever writes to a topic,
-- or decides something that rests on it, locks its row.
CREATE TABLE topic (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  sequence bigint NOT NULL,
  node_ns bigint NOT NULL
-- Room on each page, so that an update stays there and no index is touched.
) WITH (fillfactor = 70);

-- The message is absent on prekey- topics, where only claims are served: such a row remembers the
-- upload's digest.
CREATE TABLE envelope (
  topic bigint NOT NULL,
  sequence bigint NOT NULL,
  node_ns bigint NOT NULL,
  size integer NOT NULL,
  digest bytea NOT NULL,
  message bytea,
  PRIMARY KEY (topic, sequence)
);
-- Ciphertext does not shrink.
ALTER TABLE envelope ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX envelope_digest ON envelope (topic, digest);
-- Rows are stored in the order of time: an index of page ranges finds the old ones and costs nothing.
CREATE INDEX envelope_age ON envelope USING brin (node_ns) WITH (autosummarize = on);

-- The kind of wallet signature that an account keeps to; chain_id is absent for a plain wallet.
CREATE TABLE account (address text PRIMARY KEY, chain_id text);

CREATE TABLE installation (
  id text PRIMARY KEY,
  address text NOT NULL,
  ed25519 bytea NOT NULL,
  revoked boolean NOT NULL,
  sealing_created_ns bigint NOT NULL,
  newest_upload_ns bigint
);
CREATE INDEX installation_account ON installation (address, revoked);

-- Also of installations that were never granted.
CREATE TABLE revocation (
  address text NOT NULL,
  installation text NOT NULL,
  PRIMARY KEY (address, installation)
);

-- When bundles of an installation were accepted, for the limit on sealing keys.
CREATE TABLE accepted_bundle (
  installation text NOT NULL,
  sequence bigint NOT NULL,
  node_ns bigint NOT NULL,
  PRIMARY KEY (installation, sequence)
);

CREATE TABLE prekey (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  installation text NOT NULL,
  is_fallback boolean NOT NULL,
  curve25519 bytea NOT NULL,
  created_ns bigint NOT NULL,
  signature bytea NOT NULL,
  stored_ns bigint NOT NULL
);
CREATE INDEX prekey_stock ON prekey (installation, is_fallback, id);
CREATE INDEX prekey_age ON prekey (stored_ns) WHERE NOT is_fallback;

-- What a claim was answered, so that its retry burns no second key.
CREATE TABLE claim (
  claim_id bytea NOT NULL,
  installation text NOT NULL,
  is_fallback boolean NOT NULL,
  curve25519 bytea NOT NULL,
  created_ns bigint NOT NULL,
  signature bytea NOT NULL,
  claimed_ns bigint NOT NULL,
  PRIMARY KEY (claim_id, installation)
);
CREATE INDEX claim_age ON claim (claimed_ns);

-- Each process is a writer and numbers its transactions, one after another. What they changed is
-- listed for a while, so that the other processes can tell their readers.
CREATE TABLE writer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number bigint NOT NULL,
  seen_ns bigint NOT NULL
);
CREATE TABLE batch (
  writer bigint NOT NULL,
  number bigint NOT NULL,
  stored_ns bigint NOT NULL,
  topics text[] NOT NULL,
  after_sequences bigint[] NOT NULL,
  installations text[] NOT NULL,
  PRIMARY KEY (writer, number)
);
CREATE INDEX batch_age ON batch (stored_ns);
`

const bothKindsOfSigners = `
-- Whether the account's key signed once; chain_id is the chain whose contract did.
ALTER TABLE account ADD COLUMN keyed boolean NOT NULL DEFAULT false;
UPDATE account SET keyed = true WHERE chain_id IS NULL;
ALTER TABLE installation ADD COLUMN vouched boolean NOT NULL DEFAULT false;
`

const sweptByTime = `
-- Old rows are found by a tree. Ranges of pages do not find them once rows go where older ones were
-- dropped, and then each sweep reads the whole table.
DROP INDEX envelope_age;
CREATE INDEX envelope_time ON envelope (node_ns);
-- Two processes that swept at once passed over some rows: look from the start once more.
DELETE FROM meta WHERE name IN ('retention_mark_message', 'retention_mark_prekey');
`

const newestTimes = `
-- The newest node_ns that each process gave out, so that none after it is older, whatever the clock does.
ALTER TABLE writer ADD COLUMN newest_ns bigint NOT NULL DEFAULT 0;
`

const sharedBudgets = `
-- When what all claims together may take of the stock is there again in full.
ALTER TABLE installation ADD COLUMN claims_full_ns bigint NOT NULL DEFAULT 0;
`

const occupancy = `
-- What each process stored, and what was dropped of it: each message, and 256 bytes besides.
ALTER TABLE writer ADD COLUMN stored_bytes bigint NOT NULL DEFAULT 0;
CREATE TABLE occupancy (before_bytes bigint NOT NULL, dropped_bytes bigint NOT NULL);
INSERT INTO occupancy SELECT coalesce(sum(coalesce(octet_length(message), 0) + 256), 0), 0 FROM envelope;
-- Rows go one by one, in steps. Parts of a day each could be dropped whole, but every look-up of a digest or
-- a cursor would ask all of them, which takes ten times as long for ten and 26 times for sixty. A fifth of
-- a large table is too much to leave to them before it is cleaned.
ALTER TABLE envelope SET (autovacuum_vacuum_scale_factor = 0.02);
`

/** Step n brings a database from version n to n + 1. */
export const schemaSteps: readonly string[] = [
  first,
  bothKindsOfSigners,
  sweptByTime,
  newestTimes,
  sharedBudgets,
  occupancy,
]
