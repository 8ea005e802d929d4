/** Every option of a node, once: parsing, `--help` and docs/node.md all use this table. */
import { defaultMemoryBytes, leastMemoryBytes } from '../limits/memory.ts'
import {
  aCount,
  aDatabase,
  aPort,
  aPortOrOff,
  aSize,
  aText,
  aTime,
  chains,
  type Kind,
  oneOf,
  ranges,
  rates,
  showSize,
} from './kinds.ts'

export const groups = [
  'Storage',
  'Listening',
  'Contract wallets',
  'Watching',
  'Limits of callers',
  'Limits of connections',
] as const
export type Group = (typeof groups)[number]

export interface Option<T> {
  readonly group: Group
  readonly kind: Kind<T>
  /** As it would be written; absent if there is no default. */
  readonly default?: string
  /** Sentences for an operator. */
  readonly help: string
}

type Given<T> = Option<T> & { readonly default: string }

// With a default there is always a value.
function option<T>(described: Given<T>): Given<T>
function option<T>(described: Option<T>): Option<T | undefined>
function option<T>(described: Option<T>): Option<T | undefined> {
  return described
}

const mebibyte = 1024 ** 2
const hourMs = 3_600_000

/**
 * By name: `--name`, and `PADLOCK_NAME` in the environment. Defaults are for a node on the internet
 * with a gigabyte of memory to spare.
 */
export const optionTable = {
  data: option({
    group: 'Storage',
    kind: aText('<folder>'),
    default: './padlock-data',
    help: 'The folder of the SQLite data, created if missing; one process at a time.',
  }),
  database: option({
    group: 'Storage',
    kind: aDatabase,
    help: 'A PostgreSQL database instead of a folder: postgres://user:password@host:5432/name; with several hosts, as in one:5432,two:5432, the one that takes writes. Any number of nodes may share one. Other users of the machine can read a command line, so give a password in the environment.',
  }),
  doorbell: option({
    group: 'Storage',
    kind: oneOf('notify', 'poll'),
    default: 'notify',
    help: "How nodes on one PostgreSQL learn of each other's commits: by LISTEN and NOTIFY, or by polling several times a second, for engines and poolers without them.",
  }),
  'database-connections': option({
    group: 'Storage',
    kind: aCount(2, 200),
    default: '8',
    help: 'Maximum connections of this process to PostgreSQL, besides one for the doorbell. Readers use half of them, so that whoever writes never waits for them.',
  }),
  'retention-days': option({
    group: 'Storage',
    kind: aCount(1, 3_650),
    default: '60',
    help: 'How many days inboxes keep envelopes. Keys, grants and revocations are kept for ever.',
  }),
  'max-data': option({
    group: 'Storage',
    kind: aSize(64 * mebibyte, 1024 ** 5),
    help: 'What the data may take. For SQLite the disk is a limit too; for PostgreSQL this is the only one, and counts each message with 256 bytes besides. When less than a tenth of it is left, and less than 2GiB, the node takes no new keys of devices; at less than a fortieth and 512MiB it takes revocations only. Programs on this machine are never refused, unless --limit-local says so.',
  }),
  port: option({
    group: 'Listening',
    kind: aPort,
    default: '8787',
    help: 'The port for gRPC, gRPC-web and Connect, over HTTP/2 and HTTP/1.1. 0 takes any free one.',
  }),
  host: option({
    group: 'Listening',
    kind: aText('<address>'),
    default: '127.0.0.1',
    help: 'The address to listen on; 0.0.0.0 or :: for every interface.',
  }),
  'tls-cert': option({
    group: 'Listening',
    kind: aText('<file>'),
    help: 'Certificate chain in PEM. With it the port speaks only TLS (1.2 or later). The file is read again when it changes and on SIGHUP; open connections stay.',
  }),
  'tls-key': option({
    group: 'Listening',
    kind: aText('<file>'),
    help: 'The private key of --tls-cert, in PEM.',
  }),
  'trust-proxy': option({
    group: 'Listening',
    kind: aCount(0, 10),
    default: '0',
    help: 'How many of your proxies stand in front. The caller is that many entries from the right in X-Forwarded-For; 0 ignores the header. Never set it higher: callers could then choose their address.',
  }),
  'trust-proxy-from': option({
    group: 'Listening',
    kind: ranges,
    default: '',
    help: 'Where the last of these proxies connects from, as addresses or ranges such as 192.0.2.0/24; may be repeated, in the environment with commas between. Without it: private networks and this machine. From elsewhere X-Forwarded-For is ignored.',
  }),
  'stop-delay': option({
    group: 'Listening',
    kind: aTime(0, hourMs),
    default: '0s',
    help: 'How long a node goes on serving after SIGTERM while /readyz says no, so that load balancers send nobody new before it closes its port.',
  }),
  'stop-grace': option({
    group: 'Listening',
    kind: aTime(0, hourMs),
    default: '10s',
    help: 'How long running requests may take to finish after that.',
  }),
  chain: option({
    group: 'Contract wallets',
    kind: chains,
    default: '',
    help: 'A chain and the RPC server to ask about its contract wallets (ERC-1271, ERC-6492); may be repeated, in the environment with commas between. Without it the node refuses contract wallets with chain_unknown.',
  }),
  'log-level': option({
    group: 'Watching',
    kind: oneOf('error', 'warn', 'info', 'debug'),
    default: 'info',
    help: 'How much goes to standard error, one JSON object a line. Addresses of callers appear at debug, and at warn when they are over a limit; messages, keys and signatures never do.',
  }),
  'admin-port': option({
    group: 'Watching',
    kind: aPortOrOff,
    default: 'off',
    help: 'A second port for /healthz, /readyz and /metrics (Prometheus), without TLS; 9464 is customary.',
  }),
  'admin-host': option({
    group: 'Watching',
    kind: aText('<address>'),
    default: '127.0.0.1',
    help: 'The address of the second port. Never use a public one.',
  }),
  rate: option({
    group: 'Limits of callers',
    kind: rates,
    default: '',
    help: 'How much one caller (an IPv4 address or an IPv6 /64) may ask of this process; may be repeated, in the environment with commas between. Names and defaults are below. 0 removes that limit, off removes all. A request over a limit is refused with rate_limited and the time to wait; a claim over a limit of one-time keys gets fallback keys.',
  }),
  'limit-local': option({
    group: 'Limits of callers',
    kind: oneOf('no', 'yes'),
    default: 'no',
    help: 'Whether callers on this machine are limited like all others. What a proxy passed on is always limited.',
  }),
  memory: option({
    group: 'Limits of connections',
    kind: aSize(leastMemoryBytes, 64 * 1024 * mebibyte),
    default: showSize(defaultMemoryBytes),
    help: 'How much memory the process may take, whatever strangers do. Request bodies, answers on their way, backlogs of subscribers and calls under way each have a part of it; one caller may use a quarter of each. Beyond that requests are refused with rate_limited, answers wait, and whoever holds most loses something.',
  }),
  'max-connections': option({
    group: 'Limits of connections',
    kind: aCount(1, 1_000_000),
    default: '10000',
    help: 'Maximum open connections, and never more than the limit of open files leaves; further ones are closed at once.',
  }),
  'max-connections-per-caller': option({
    group: 'Limits of connections',
    kind: aCount(1, 1_000_000),
    default: '200',
    help: 'Maximum open connections of one caller. Trusted proxies may have more: limit connections there.',
  }),
  'max-streams': option({
    group: 'Limits of connections',
    kind: aCount(1, 100_000),
    default: '250',
    help: 'Maximum requests and subscriptions at a time on one HTTP/2 connection; a client queues further ones.',
  }),
  'headers-timeout': option({
    group: 'Limits of connections',
    kind: aTime(100, hourMs),
    default: '30s',
    help: 'How long a connection may take until its first request begins, TLS included, and until the headers of a later request have arrived.',
  }),
  'request-timeout': option({
    group: 'Limits of connections',
    kind: aTime(100, hourMs),
    default: '2m',
    help: 'How long a request may take to arrive completely.',
  }),
  'idle-timeout': option({
    group: 'Limits of connections',
    kind: aTime(100, 24 * hourMs),
    default: '75s',
    help: 'A connection without a request is closed after this time, and so is a stream whose reader takes nothing. Heartbeats, every 20 s, keep a subscription alive. A proxy should close its idle connections earlier.',
  }),
  'live-envelopes': option({
    group: 'Limits of connections',
    kind: aCount(500, 1_000_000),
    default: '8192',
    help: 'How many live envelopes may wait for one subscriber. One that falls further behind is disconnected with slow_reader and catches up when it reconnects.',
  }),
  'live-bytes': option({
    group: 'Limits of connections',
    kind: aSize(25 * mebibyte, 1024 * mebibyte),
    default: '32MiB',
    help: 'The same limit in bytes of messages.',
  }),
} as const satisfies Record<string, Option<unknown>>

export type OptionName = keyof typeof optionTable

type ValueOf<O> = O extends Option<infer T> ? T : never

/** What the operator decided, by option. */
export type Settings = {
  readonly [N in OptionName]: ValueOf<(typeof optionTable)[N]>
}

/** All names, in the order of the help. */
export const optionNames = Object.keys(optionTable).filter(
  (name): name is OptionName => name in optionTable,
)

/** The environment variable of an option. */
export const variableOf = (name: OptionName): string =>
  `PADLOCK_${name.toUpperCase().replaceAll('-', '_')}`
