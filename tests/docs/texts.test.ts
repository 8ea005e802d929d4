/** Tables, schemas and links in README.md and docs/ agree with the code. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { listSourceFiles, root } from '../../scripts/files.ts'
import { codes, isPadlockErrorCode } from '../../src/errors.ts'
import { grpcStatus, nodeCodes } from '../../src/protocol/node-codes.ts'
import { outcomeOf } from '../../src/protocol/outcomes.ts'
import {
  anchorsOf,
  blocksOf,
  codesIn,
  documents,
  linksOf,
  readText,
  tableBelow,
} from './markdown.ts'

const protocol = readText('docs/protocol.md')

test('the error table of the README says of each code what the table of codes says', () => {
  const rows = tableBelow(readText('README.md'), ['code', 'retryable', 'what to do'])
  expect(rows.length).toBeGreaterThan(10)
  const said = rows.map(([code = '', retryable]) => [codesIn(code)[0], retryable])
  const known = said.map(([code]) => [
    code,
    isPadlockErrorCode(code) ? (codes[code].retryable ? 'yes' : 'no') : 'unknown',
  ])
  expect(said).toEqual(known)
})

/** Codes that no call throws and no message waits for: why an envelope was not kept, as counts. */
const countedOnly = [
  ...['unsealing_failed', 'not_for_us', 'unknown_sender', 'sender_revoked', 'bad_header_signature'],
  ...['bad_mac', 'session_unknown', 'session_mismatch', 'message_key_gone', 'prekey_gone'],
  ...['decryption_failed', 'header_mismatch', 'wrong_participants', 'bad_payload'],
  ...['duplicate_message', 'parking_full', 'content_too_large'],
]
/** What a node answers to requests that only a defect of the SDK makes, or that it handles itself. */
const handledInside = [
  ...['malformed', 'unknown_topic', 'bad_signature', 'wrong_address', 'already_revoked'],
  ...['already_vouched', 'unknown_installation', 'recipient_gone', 'sealing_key_not_newer'],
  ...['stale_upload', 'stock_full', 'sealing_key_too_soon', 'bad_proof', 'not_supported_yet'],
]

test('the error table of the README has a row for every code that a caller can meet', () => {
  const rows = tableBelow(readText('README.md'), ['code', 'retryable', 'what to do'])
  const said = rows.map(([code = '']) => codesIn(code)[0] ?? '')
  expect([...said, ...countedOnly, ...handledInside].sort()).toEqual(Object.keys(codes).sort())
})

test('section 13 lists every code of a node under its status, and which may be retried', () => {
  const rows = tableBelow(protocol, ['gRPC status', 'final', 'retryable'])
  const said = rows.flatMap(([status = '', final = '', retryable = '']) => {
    const number = Number(/\((\d+)\)/.exec(status)?.[1])
    return [
      ...codesIn(final).map((code) => [code, number, false]),
      ...codesIn(retryable).map((code) => [code, number, true]),
    ]
  })
  const known = Object.entries(nodeCodes).map(([code, status]) => [
    code,
    status,
    isPadlockErrorCode(code) && codes[code].retryable,
  ])
  expect(said.map(String).sort()).toEqual(known.map(String).sort())
  expect(rows).toHaveLength(Object.keys(grpcStatus).length)
})

test('section 8 lists under each outcome the codes that lead to it', () => {
  const rows = tableBelow(protocol, ['outcome', 'codes of the SDK'])
  const kindIn = (cell: string) => /`(\w+)/.exec(cell)?.[1]
  for (const kind of ['rejected', 'undecryptable', 'unsupported_version']) {
    const [, listed = ''] = rows.find(([outcome = '']) => kindIn(outcome) === kind) ?? []
    expect(codesIn(listed)).not.toHaveLength(0)
    for (const code of codesIn(listed)) {
      expect([code, isPadlockErrorCode(code) && outcomeOf(code).kind]).toEqual([code, kind])
    }
  }
  // Every other code is `rejected`, so of these two no code may be missing.
  const listed = new Set(rows.flatMap(([, cell = '']) => codesIn(cell)))
  const missing = Object.keys(codes)
    .filter(isPadlockErrorCode)
    .filter((code) => outcomeOf(code).kind !== 'rejected' && !listed.has(code))
  expect(missing).toEqual([])
})

const engineFiles = listSourceFiles().filter((path) => path.startsWith('src/engine/'))

test('the architecture has a line for each folder of the engine, and no other', () => {
  const rows = tableBelow(readText('docs/architecture.md'), ['folder', 'what it does'])
  const named = rows.map(([folder = '']) => folder.replaceAll('`', ''))
  const folders = engineFiles.map(dirname).filter((folder) => folder !== 'src/engine')
  expect(named.sort()).toEqual([...new Set(folders.map((path) => `${basename(path)}/`))].sort())
})

test('as docs/security.md says, only what leaves by its consequences waits for the disk', () => {
  const strict = engineFiles.filter((path) => /(?<!\| )'strict',?\s*\)/.test(readText(path)))
  expect(strict).toEqual([
    'src/engine/keys/prekeys.ts',
    'src/engine/keys/registration.ts',
    'src/engine/keys/rollback.ts',
    'src/engine/keys/sealing-keys.ts',
    'src/engine/sending/dispatch.ts',
  ])
})

/** Every message, enum and service of a schema by its name, comments and spaces left out. */
const declarationsOf = (schema: string): ReadonlyMap<string, string> => {
  const text = schema.replaceAll(/\/\/.*$/gm, '').replaceAll(/\s+/g, ' ')
  const found = new Map<string, string>()
  for (const match of text.matchAll(/\b(?:message|enum|service) (\w+) \{/g)) {
    let depth = 1
    let end = match.index + match[0].length
    while (depth > 0 && end < text.length) {
      if (text[end] === '{') depth += 1
      else if (text[end] === '}') depth -= 1
      end += 1
    }
    found.set(match[1] ?? '', text.slice(match.index, end).replaceAll(/ (?=[{}])|(?<=[{};]) /g, ''))
  }
  return found
}

test('the schemas of the protocol text are those of proto/', () => {
  const said = declarationsOf(
    blocksOf(protocol, 'proto')
      .map(({ code }) => code)
      .join('\n'),
  )
  const files = listSourceFiles().filter((path) => /^proto\/padlock\/v1\/.*\.proto$/.test(path))
  const known = declarationsOf(files.map(readText).join('\n'))
  expect(known.size).toBeGreaterThan(40)
  expect([...said.keys()].sort()).toEqual([...known.keys()].sort())
  for (const [name, declaration] of known) expect(said.get(name)).toBe(declaration)
})

test('every domain that code signs, hashes or derives under is in the texts', () => {
  const texts = protocol + readText('docs/architecture.md')
  const sources = listSourceFiles().filter((path) =>
    /^(?:src|wasm\/src)\/.*\.(?:ts|rs)$/.test(path),
  )
  const domains = new Set(
    sources.flatMap((path) => readText(path).match(/(?<=['"`])padlock\/[a-z-]+\/1\b/g) ?? []),
  )
  expect(domains.size).toBeGreaterThan(8)
  expect([...domains].filter((domain) => !texts.includes(domain))).toEqual([])
})

test('every section that a comment cites exists', () => {
  const missing = listSourceFiles()
    .filter((path) => /\.(?:ts|rs|proto)$/.test(path))
    .flatMap((path) =>
      [...readText(path).matchAll(/docs\/(\w+)\.md`?,? sections? (\d+)/g)].flatMap(
        ([citation, name, number]) => {
          const cited = `docs/${name}.md`
          const exists =
            existsSync(join(root, cited)) &&
            new RegExp(`^## ${number}\\. `, 'm').test(readText(cited))
          return exists ? [] : [`${path}: ${citation}`]
        },
      ),
    )
  expect(missing).toEqual([])
})

test('every link of the documents leads somewhere', () => {
  const broken = documents().flatMap((path) =>
    linksOf(readText(path)).flatMap((link) => {
      const [target = '', anchor] = link.split('#')
      const file = target === '' ? path : join(dirname(path), target)
      if (!existsSync(join(root, file))) return [`${path}: ${link}`]
      const leads = anchor === undefined || anchorsOf(readText(file)).includes(anchor)
      return leads ? [] : [`${path}: ${link}`]
    }),
  )
  expect(broken).toEqual([])
})
