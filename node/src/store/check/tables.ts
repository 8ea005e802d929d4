/**
 * Compares the tables with what the topics say they must hold, and verifies the prekeys, of which no
 * topic keeps a copy: an installation that is known and not revoked must have signed each of them.
 */
import { parseInstallationId } from '../../../../src/protocol/ids.ts'
import { sealingKeyWindowNs } from '../../../../src/protocol/limits.ts'
import { prekeySignature } from '../../../../src/protocol/prekey.ts'
import { verifyStrict } from '../../rules/ed25519.ts'
import { bytesOf, integerOf, type Row, textOf } from '../rows.ts'
import type { Expected } from './expected.ts'
import type { Findings } from './report.ts'
import type { CheckSource } from './source.ts'

type Value = string | bigint | Uint8Array | null

/** A table, in columns that both engines return alike. */
interface Table {
  readonly name: 'account' | 'installation' | 'revocation' | 'accepted_bundle'
  readonly statement: string
  readonly columns: readonly string[]
  readonly key: string
}

const flag = (column: string): string => `CAST(CAST(${column} AS integer) AS bigint) AS ${column}`

const tables: readonly Table[] = [
  {
    name: 'account',
    statement: `SELECT address, chain_id, ${flag('keyed')} FROM account`,
    columns: ['address', 'chain_id', 'keyed'],
    key: 'address',
  },
  {
    name: 'installation',
    statement: `SELECT id, address, ed25519, ${flag('revoked')}, ${flag('vouched')},
      sealing_created_ns, newest_upload_ns FROM installation`,
    columns: [
      'id',
      'address',
      'ed25519',
      'revoked',
      'vouched',
      'sealing_created_ns',
      'newest_upload_ns',
    ],
    key: 'id',
  },
  {
    name: 'revocation',
    statement: 'SELECT address, installation FROM revocation',
    columns: ['address', 'installation'],
    key: 'address, installation',
  },
  {
    name: 'accepted_bundle',
    statement: 'SELECT installation, sequence, node_ns FROM accepted_bundle',
    columns: ['installation', 'sequence', 'node_ns'],
    key: 'installation, sequence',
  },
]

/** Each returns the places where something is wrong, and what is wrong. */
const comparisons = [
  `SELECT 'contact-' || e.address AS place, 'the table has no such account' AS what
   FROM account e LEFT JOIN stored_account s ON s.address = e.address WHERE s.address IS NULL`,
  `SELECT 'contact-' || s.address AS place, CASE WHEN e.address IS NULL
     THEN 'the table has an account that no topic knows'
     ELSE 'the table has another signer for the account' END AS what
   FROM stored_account s LEFT JOIN account e ON e.address = s.address
   WHERE e.address IS NULL OR e.chain_id IS NOT s.chain_id OR e.keyed <> s.keyed`,
  `SELECT e.id AS place, 'the table lacks an installation that a contact topic names' AS what
   FROM installation e LEFT JOIN stored_installation s ON s.id = e.id WHERE s.id IS NULL`,
  `SELECT s.id AS place, CASE WHEN e.id IS NULL
       THEN 'the table has an installation that no contact topic names'
     WHEN e.address <> s.address THEN 'the table has another address for the installation'
     WHEN e.ed25519 <> s.ed25519 THEN 'the table has another key for the installation'
     WHEN e.vouched <> s.vouched
       THEN 'the table and the contact topic differ on whether the installation has a vouch'
     WHEN s.revoked <> (r.installation IS NOT NULL)
       THEN 'the table and the revoked topic differ on whether the installation is revoked'
     ELSE 'the table has another time for the sealing key of the installation' END AS what
   FROM stored_installation s LEFT JOIN installation e ON e.id = s.id
   LEFT JOIN revocation r ON r.address = e.address AND r.installation = e.id
   WHERE e.id IS NULL OR e.address <> s.address OR e.ed25519 <> s.ed25519
     OR e.vouched <> s.vouched OR s.revoked <> (r.installation IS NOT NULL)
     OR e.sealing_created_ns <> s.sealing_created_ns`,
  `SELECT 'revoked-' || e.address AS place,
     'the table lacks the revocation of ' || e.installation AS what
   FROM revocation e LEFT JOIN stored_revocation s
     ON s.address = e.address AND s.installation = e.installation
   WHERE s.address IS NULL`,
  `SELECT 'revoked-' || s.address AS place,
     'the table has a revocation that the topic has not, of ' || s.installation AS what
   FROM stored_revocation s LEFT JOIN revocation e
     ON s.address = e.address AND s.installation = e.installation
   WHERE e.address IS NULL`,
  `SELECT e.installation AS place,
     'the table of recent sealing keys lacks number ' || e.sequence AS what
   FROM bundle e JOIN installation i ON i.id = e.installation
   LEFT JOIN stored_accepted_bundle s
     ON s.installation = e.installation AND s.sequence = e.sequence AND s.node_ns = e.node_ns
   WHERE s.installation IS NULL AND e.node_ns > i.node_ns - ${sealingKeyWindowNs}`,
  `SELECT s.installation AS place,
     'the table of recent sealing keys has one that no topic has, number ' || s.sequence AS what
   FROM stored_accepted_bundle s LEFT JOIN bundle e
     ON s.installation = e.installation AND s.sequence = e.sequence AND s.node_ns = e.node_ns
   WHERE e.installation IS NULL`,
  `SELECT t.name AS place, 'the topic is of an installation that no contact topic names' AS what
   FROM used_topic t LEFT JOIN installation e ON e.id = t.installation WHERE e.id IS NULL`,
  `SELECT t.name AS place, 'uploads were stored, but the installation has no time of one' AS what
   FROM used_topic t JOIN stored_installation s ON s.id = t.installation
   WHERE t.name LIKE 'prekey-%' AND s.newest_upload_ns IS NULL`,
]

/** To be called after the topics were read. */
export async function checkTables(
  source: CheckSource,
  expected: Expected,
  findings: Findings,
): Promise<void> {
  for (const table of tables) {
    const put = expected.load(`stored_${table.name}`, table.columns)
    for await (const chunk of source.rows(table.statement)) {
      for (const row of chunk) put.run(...table.columns.map((column) => comparable(row, column)))
      if (table.name === 'account') findings.counts.accounts += chunk.length
      else if (table.name === 'installation') findings.counts.installations += chunk.length
    }
    expected.index(`stored_${table.name}`, table.key)
  }
  for (const comparison of comparisons) {
    for (const row of expected.select(comparison)) {
      findings.add(textOf(row, 'place'), textOf(row, 'what'))
    }
  }
  for await (const chunk of source.rows(orphanStatement)) {
    for (const row of chunk) {
      findings.add(`topic ${integerOf(row, 'topic')}`, 'envelopes lie on a topic that is not there')
    }
  }
  await checkPrekeys(source, expected, findings)
}

const orphanStatement = `SELECT envelope.topic FROM envelope
  WHERE NOT EXISTS (SELECT 1 FROM topic WHERE topic.id = envelope.topic)
  GROUP BY envelope.topic`

const keyColumns = `installation, ${flag('is_fallback')}, curve25519, created_ns, signature`

async function checkPrekeys(
  source: CheckSource,
  expected: Expected,
  findings: Findings,
): Promise<void> {
  const { counts } = findings
  const uploads = new NewestUploads(expected)
  for await (const chunk of source.rows(`SELECT ${keyColumns} FROM prekey ORDER BY installation`)) {
    counts.prekeys += chunk.length
    for (const row of chunk) {
      const wrong = wrongWithPrekey(row, expected, true)
      const id = textOf(row, 'installation')
      if (wrong !== undefined) findings.add(`prekey-${id}`, `a key in stock ${wrong}`)
      else if (integerOf(row, 'created_ns') > uploads.of(id)) {
        findings.add(`prekey-${id}`, 'a key in stock is newer than the newest upload')
      }
    }
  }
  for await (const chunk of source.rows(`SELECT ${keyColumns} FROM claim`)) {
    counts.claims += chunk.length
    for (const row of chunk) {
      const wrong = wrongWithPrekey(row, expected, false)
      if (wrong !== undefined) {
        findings.add(`prekey-${textOf(row, 'installation')}`, `a key that was claimed ${wrong}`)
      }
    }
  }
  for (const [statement, what] of doubles) {
    for await (const chunk of source.rows(statement)) {
      for (const row of chunk) findings.add(`prekey-${textOf(row, 'installation')}`, what)
    }
  }
}

const doubles = [
  [
    `SELECT installation FROM prekey WHERE CAST(is_fallback AS integer) = 1
     GROUP BY installation HAVING count(*) > 1`,
    'there are several fallback keys',
  ],
  [
    `SELECT prekey.installation FROM prekey JOIN claim ON claim.installation = prekey.installation
       AND claim.curve25519 = prekey.curve25519 AND claim.created_ns = prekey.created_ns
     WHERE CAST(prekey.is_fallback AS integer) = 0 AND CAST(claim.is_fallback AS integer) = 0`,
    'a one-time key that was given out is still in stock',
  ],
  [
    `SELECT installation FROM claim WHERE CAST(is_fallback AS integer) = 0
     GROUP BY installation, curve25519, created_ns HAVING count(*) > 1`,
    'a one-time key was given out twice',
  ],
] as const

/** What is wrong with a key, as the end of a sentence; absent if it is sound. */
function wrongWithPrekey(row: Row, expected: Expected, inStock: boolean): string | undefined {
  const known = expected.installation(textOf(row, 'installation'))
  if (known === undefined) return 'is of an installation that no contact topic names'
  // Section 5: a revoked installation gives out no keys; claims from before are remembered.
  if (inStock && expected.isRevoked(known)) return 'is of a revoked installation'
  const installationId = parseInstallationId(textOf(row, 'installation'))
  if (!installationId.ok) return 'has no proper installation'
  const prekey = {
    kind: integerOf(row, 'is_fallback') === 1n ? ('fallback' as const) : ('one-time' as const),
    key: bytesOf(row, 'curve25519'),
    createdNs: integerOf(row, 'created_ns'),
    signature: bytesOf(row, 'signature'),
  }
  const signature = prekeySignature(prekey, installationId.value, bytesOf(known, 'ed25519'))
  return verifyStrict(signature) ? undefined : 'has a signature that does not verify'
}

/** The time of the newest upload, for rows ordered by installation. */
class NewestUploads {
  readonly #expected: Expected
  #id = ''
  #newestNs = 0n

  constructor(expected: Expected) {
    this.#expected = expected
  }

  of(id: string): bigint {
    if (id !== this.#id) {
      const value = this.#expected.newestUpload(id)
      this.#id = id
      this.#newestNs = value ?? 0n
    }
    return this.#newestNs
  }
}

function comparable(row: Row, column: string): Value {
  const value = row[column]
  if (value === null || typeof value === 'string' || typeof value === 'bigint') return value
  if (value instanceof Uint8Array) return value
  throw new TypeError(`unexpected value in ${column}`)
}
