/**
 * The tables of the embedded store, as numbered steps. A database gets the steps that it lacks, in
 * place. A step, once released, does not change.
 */

const first = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- The latest sequence and node_ns of each topic; kept when its envelopes go.
CREATE TABLE topic (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL,
  node_ns INTEGER NOT NULL
) STRICT;

-- The message is last, so that a page can look at sizes without touching it. It is absent on
-- prekey- topics, where only claims are served: such a row remembers the upload's digest.
CREATE TABLE envelope (
  id INTEGER PRIMARY KEY,
  topic INTEGER NOT NULL REFERENCES topic (id),
  sequence INTEGER NOT NULL,
  node_ns INTEGER NOT NULL,
  size INTEGER NOT NULL,
  digest BLOB NOT NULL,
  message BLOB
) STRICT;
CREATE UNIQUE INDEX envelope_sequence ON envelope (topic, sequence);
CREATE UNIQUE INDEX envelope_digest ON envelope (topic, digest);
CREATE INDEX envelope_upload ON envelope (node_ns) WHERE message IS NULL;

-- The kind of wallet signature that an account keeps to; chain_id is absent for a plain wallet.
CREATE TABLE account (address TEXT PRIMARY KEY, chain_id TEXT) STRICT, WITHOUT ROWID;

CREATE TABLE installation (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  ed25519 BLOB NOT NULL,
  revoked INTEGER NOT NULL,
  sealing_created_ns INTEGER NOT NULL,
  newest_upload_ns INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX installation_account ON installation (address, revoked);

-- Also of installations that were never granted.
CREATE TABLE revocation (
  address TEXT NOT NULL,
  installation TEXT NOT NULL,
  PRIMARY KEY (address, installation)
) STRICT, WITHOUT ROWID;

-- When bundles of an installation were accepted, for the limit on sealing keys. By sequence, as one
-- request may carry several.
CREATE TABLE accepted_bundle (
  installation TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  node_ns INTEGER NOT NULL,
  PRIMARY KEY (installation, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE prekey (
  id INTEGER PRIMARY KEY,
  installation TEXT NOT NULL,
  is_fallback INTEGER NOT NULL,
  curve25519 BLOB NOT NULL,
  created_ns INTEGER NOT NULL,
  signature BLOB NOT NULL,
  stored_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX prekey_stock ON prekey (installation, is_fallback, id);
CREATE INDEX prekey_age ON prekey (stored_ns) WHERE is_fallback = 0;

-- What a claim was answered, so that its retry burns no second key.
CREATE TABLE claim (
  claim_id BLOB NOT NULL,
  installation TEXT NOT NULL,
  is_fallback INTEGER NOT NULL,
  curve25519 BLOB NOT NULL,
  created_ns INTEGER NOT NULL,
  signature BLOB NOT NULL,
  claimed_ns INTEGER NOT NULL,
  PRIMARY KEY (claim_id, installation)
) STRICT;
CREATE INDEX claim_age ON claim (claimed_ns);
`

const bothKindsOfSigners = `
-- Whether the account's key signed once; chain_id is the chain whose contract did.
ALTER TABLE account ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0;
UPDATE account SET keyed = 1 WHERE chain_id IS NULL;
ALTER TABLE installation ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0;
`

const sharedBudgets = `
-- When what all claims together may take of the stock is there again in full.
ALTER TABLE installation ADD COLUMN claims_full_ns INTEGER NOT NULL DEFAULT 0;
`

const readings = `
-- What the clock said when envelopes up to this one were stored: once an hour, and when it was set. The times of
-- envelopes never go back, so one that was stored under a clock far ahead makes all later ones look as new.
CREATE TABLE reading (id INTEGER PRIMARY KEY, clock_ns INTEGER NOT NULL) STRICT;
`

/** Step n brings a database from version n to n + 1. */
export const schemaSteps: readonly string[] = [first, bothKindsOfSigners, sharedBudgets, readings]
