/** Options: what the command line and the environment say, and what is wrong with it. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { shareMemory } from '../../node/src/limits/memory.ts'
import { showDatabase } from '../../node/src/node.ts'
import { helpText, optionsMarkdown, ratesMarkdown } from '../../node/src/options/help.ts'
import { showSize, showTime } from '../../node/src/options/kinds.ts'
import { nodeOptionsOf } from '../../node/src/options/node-options.ts'
import { type Environment, readOptions } from '../../node/src/options/read.ts'
import { optionNames, optionTable, variableOf } from '../../node/src/options/table.ts'
import { callerAt, nameCaller } from '../../node/src/server/caller.ts'
import { defaultServerLimits } from '../../node/src/server/listen.ts'
import { readRange } from '../../node/src/server/proxies.ts'
import { defaultRetentionNs } from '../../node/src/store/lifetimes.ts'
import { urlsOf } from '../../node/src/store/postgres/urls.ts'
import { defaultLiveLimit } from '../../node/src/streams/live-buffer.ts'
import { defaultTotalLimitBytes } from '../../node/src/streams/live-memory.ts'

const settingsOf = (args: readonly string[], environment: Environment = {}) => {
  const asked = readOptions(args, environment)
  if (asked.kind !== 'run') throw new Error(JSON.stringify(asked))
  return asked.settings
}
const problemOf = (args: readonly string[], environment: Environment = {}) => {
  const asked = readOptions(args, environment)
  if (asked.kind !== 'problem') throw new Error(`${asked.kind} instead of a problem`)
  return asked.sentence
}

test('without any there are the defaults of the parts themselves', () => {
  const options = nodeOptionsOf(settingsOf([]))
  expect(options).toMatchObject({ data: './padlock-data', port: 8787, host: '127.0.0.1' })
  expect(options.serverLimits).toEqual(defaultServerLimits)
  expect(options.liveLimit).toEqual(defaultLiveLimit)
  expect(options.liveTotalBytes).toBe(defaultTotalLimitBytes)
  expect(options.retentionNs).toBe(defaultRetentionNs)
  expect(options).not.toHaveProperty('tls')
  expect(options).not.toHaveProperty('admin')
})

test('a database may have several hosts', () => {
  const written = 'postgres://me:secret@one:5432,two:5433/padlock?x=1'
  expect(settingsOf(['--database', written]).database).toBe(written)
  expect(urlsOf(written)).toEqual([
    'postgres://me:secret@one:5432/padlock?x=1',
    'postgres://me:secret@two:5433/padlock?x=1',
  ])
  expect(showDatabase(written)).toBe('postgres://one:5432,two:5433/padlock')
  expect(problemOf(['--database', 'postgres://one,two:x/padlock'])).toMatch(/not a URL/)
})

test('the command line goes before the environment, and that before the default', () => {
  expect(settingsOf([], { PADLOCK_PORT: '1' }).port).toBe(1)
  expect(settingsOf(['--port', '2'], { PADLOCK_PORT: '1' }).port).toBe(2)
  // Compose files set what they leave out to nothing.
  expect(settingsOf([], { PADLOCK_PORT: '' }).port).toBe(8787)
})

test.each(optionNames)(
  '--%s has a variable, a help that is a sentence, and a good default',
  (name) => {
    const described = optionTable[name]
    expect(variableOf(name)).toMatch(/^PADLOCK_[A-Z_]+$/)
    expect(described.help).toMatch(/^[A-Z].*\.$/)
    expect(helpText('1.2.3')).toContain(`  --${name} ${described.kind.placeholder}`)
  },
)

test('every option is read from its variable', () => {
  const environment = {
    PADLOCK_DATABASE: 'postgres://me:secret@db:5432/padlock',
    PADLOCK_DOORBELL: 'poll',
    PADLOCK_DATABASE_CONNECTIONS: '20',
    PADLOCK_RETENTION_DAYS: '7',
    PADLOCK_MAX_DATA: '100GiB',
    PADLOCK_PORT: '443',
    PADLOCK_HOST: '::',
    PADLOCK_TLS_CERT: '/c',
    PADLOCK_TLS_KEY: '/k',
    PADLOCK_TRUST_PROXY: '2',
    PADLOCK_TRUST_PROXY_FROM: '192.0.2.0/24,2001:db8::1',
    PADLOCK_STOP_DELAY: '5s',
    PADLOCK_STOP_GRACE: '1m',
    PADLOCK_CHAIN: '1=https://one/key, 8453=https://two',
    PADLOCK_LOG_LEVEL: 'debug',
    PADLOCK_ADMIN_PORT: '9464',
    PADLOCK_ADMIN_HOST: '10.0.0.1',
    PADLOCK_RATE: 'requests-per-second=5,claims-burst=0',
    PADLOCK_LIMIT_LOCAL: 'yes',
    PADLOCK_MAX_CONNECTIONS: '50',
    PADLOCK_MAX_CONNECTIONS_PER_CALLER: '5',
    PADLOCK_MAX_STREAMS: '10',
    PADLOCK_MEMORY: '2GiB',
    PADLOCK_HEADERS_TIMEOUT: '500ms',
    PADLOCK_REQUEST_TIMEOUT: '20',
    PADLOCK_IDLE_TIMEOUT: '1h',
    PADLOCK_LIVE_ENVELOPES: '1000',
    PADLOCK_LIVE_BYTES: '64MiB',
  }
  // All but --data, which goes without a database.
  expect(Object.keys(environment).sort()).toEqual(
    optionNames
      .filter((name) => name !== 'data')
      .map(variableOf)
      .sort(),
  )
  const settings = settingsOf([], environment)
  expect(nodeOptionsOf(settings)).toEqual({
    database: { url: environment.PADLOCK_DATABASE, doorbell: 'poll', connections: 20 },
    retentionNs: 7n * 86_400_000_000_000n,
    dataLimitBytes: 100 * 1024 ** 3,
    port: 443,
    host: '::',
    tls: { certificate: '/c', key: '/k' },
    proxies: { hops: 2, from: [readRange('192.0.2.0/24'), readRange('2001:db8::1')] },
    stopDelayMs: 5_000,
    stopGraceMs: 60_000,
    chains: new Map([
      [1n, 'https://one/key'],
      [8453n, 'https://two/'],
    ]),
    admin: { host: '10.0.0.1', port: 9464 },
    exempt: expect.any(Function),
    liveLimit: { envelopes: 1_000, bytes: 64 * 1024 ** 2 },
    liveTotalBytes: shareMemory(2 * 1024 ** 3).liveBytes,
    serverLimits: {
      headersTimeoutMs: 500,
      requestTimeoutMs: 20_000,
      idleTimeoutMs: 3_600_000,
      concurrentStreams: 10,
      connections: 50,
      connectionsOfCaller: 5,
      bodyBytes: shareMemory(2 * 1024 ** 3).bodyBytes,
      answerBytes: shareMemory(2 * 1024 ** 3).answerBytes,
      callsBytes: shareMemory(2 * 1024 ** 3).callsBytes,
    },
  })
  expect(nodeOptionsOf(settings).exempt?.(callerAt('127.0.0.1'))).toBe(false)
  expect(settings.rate).toEqual({ requestsPerSecond: 5, claimsBurst: 0 })
  expect(settings['log-level']).toBe('debug')
})

test('this machine is left out of limits of callers unless they are asked for', () => {
  const { exempt } = nodeOptionsOf(settingsOf([]))
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) {
    expect(exempt?.(callerAt(address))).toBe(true)
    // As a proxy would name one.
    expect(exempt?.(nameCaller(address))).toBe(false)
  }
  expect(exempt?.(callerAt('192.0.2.1'))).toBe(false)
})

test.each<[readonly string[], string]>([
  [['--port', '1e3'], '--port 1e3 is not a port number (0 to 65535).'],
  [['--port', '1', '--port', '2'], '--port is given more than once.'],
  [['--port'], "Option '--port <value>' argument missing. Try --help."],
  [['--data', ''], '--data needs a value.'],
  [['--doorbell', 'bell'], '--doorbell bell is not one of notify, poll.'],
  [['--doorbell', 'poll'], '--doorbell is about PostgreSQL: give --database too.'],
  [['--data', 'x', '--database', 'postgres://x/y'], '--data and --database are given: choose one.'],
  [
    ['--trust-proxy-from', '10.0.0.0/8,x'],
    '--trust-proxy-from 10.0.0.0/8,x is not a range of addresses, such as 10.0.0.0/8.',
  ],
  [['--retention-days', '0'], '--retention-days 0 is not a whole number from 1 to 3650.'],
  [
    ['--stop-grace', '1d'],
    '--stop-grace 1d is not a time from 0s to 60m, such as 500ms, 30s or 2m.',
  ],
  [
    ['--live-bytes', '1MiB'],
    '--live-bytes 1MiB is not a size from 25MiB to 1GiB, such as 64KiB, 32MiB or 1GiB.',
  ],
  [
    ['--request-timeout', '1s'],
    '--request-timeout includes the headers: it cannot be below --headers-timeout.',
  ],
  [['--tls-key', 'k'], '--tls-cert and --tls-key belong together: give both, or neither.'],
  [
    ['--chain', '1=ftp://x'],
    '--chain is not right. The RPC server of chain 1 needs an http or https URL.',
  ],
  [['--rate', 'off', '--rate', 'claims-burst=1'], '--rate off leaves nothing to set.'],
  [
    ['--rate', 'claims=1'],
    '--rate claims=1 is not <name>=<number> with a name that --help lists, or off.',
  ],
  [['surplus'], "Unexpected argument 'surplus'. Try --help."],
  [['--prot', '1'], "Unknown option '--prot'. Try --help."],
])('%j is refused in one sentence', (args, sentence) => {
  expect(problemOf(args)).toBe(sentence)
})

describe('a password', () => {
  test.each([
    [['--database', 'postgres:/me:p4ss@x']],
    [['--database', 'mysql://me:p4ss@x/y']],
    [['--database', 'postgres://me:p4ss@x/y', '--data', 'z']],
    [['postgres://me:p4ss@x/y']],
    [['--database', 'postgres://me:p4ss@x/y', '--chain', '1=ftp://p4ss']],
    [['--chain', '1=p4ss']],
  ])('is in no sentence about %j', (args) => {
    expect(problemOf(args)).not.toContain('p4ss')
  })
})

test('a problem names the variable if that is where it comes from', () => {
  expect(problemOf([], { PADLOCK_PORT: 'tcp://10.0.0.1:8787' })).toMatch(/^PADLOCK_PORT tcp:/)
  expect(problemOf([], { PADLOCK_DATA: 'x', PADLOCK_DATABASE: 'postgres://x/y' })).toBe(
    'PADLOCK_DATA and PADLOCK_DATABASE are given: choose one.',
  )
})

test('a variable that is not an option is a warning, one of the tests is not', () => {
  expect(readOptions([], { PADLOCK_PROT: '1', PADLOCK_TEST_STORE: 'x' })).toMatchObject({
    warnings: ['PADLOCK_PROT is not an option of this release'],
  })
})

test('times and sizes are shown as they are written', () => {
  expect([500, 1_500, 30_000, 120_000, 0].map(showTime)).toEqual([
    '500ms',
    '1500ms',
    '30s',
    '2m',
    '0s',
  ])
  expect([1023, 64 * 1024, 32 * 1024 ** 2].map(showSize)).toEqual(['1023', '64KiB', '32MiB'])
})

test('docs/node.md has the tables of this release', () => {
  const document = readFileSync(new URL('../../docs/node.md', import.meta.url), 'utf8')
  expect(document).toContain(optionsMarkdown())
  expect(document).toContain(ratesMarkdown())
})
