/**
 * Who may import whom (docs/architecture.md section 1), as one table.
 * The program that reads the files and asks it is check-boundaries.ts.
 */
import { dirname, extname } from 'node:path'

/** One import, with paths relative to the checkout. */
export interface Import {
  readonly from: string
  readonly to: string
  /** Leaves nothing in what is built. */
  readonly typeOnly: boolean
}

/** Each room of `src/`; the file of an interface has the name of its room. */
const rooms = [
  'chains',
  'content',
  'crypto',
  'engine',
  'facade',
  'gen',
  'network',
  'platform',
  'protocol',
  'store',
  'wallet',
  'worker',
] as const
type Room = (typeof rooms)[number]

const interfaceOf = (room: Room): string => `src/${room}/${room}.ts`

const everyone = ['src/protocol/', 'src/errors.ts', 'src/async.ts', 'src/release.ts']

/** What a room may import beside itself: a folder (ends with `/`) or a file. */
const mayImport: Readonly<Record<Room, readonly string[]>> = {
  gen: [],
  protocol: ['src/errors.ts', 'src/gen/padlock/v1/'],
  content: [...everyone, 'src/gen/padlock/v1/'],
  crypto: everyone,
  // Its records have a schema of their own, which nothing else reads.
  store: [...everyone, interfaceOf('crypto'), 'src/gen/padlock/store/'],
  network: [...everyone, 'src/gen/padlock/v1/'],
  wallet: everyone,
  chains: everyone,
  platform: everyone,
  engine: [
    ...everyone,
    'src/content/',
    interfaceOf('crypto'),
    interfaceOf('store'),
    // What the store holds belongs to its interface; how it is kept does not.
    'src/store/tables.ts',
    interfaceOf('network'),
    interfaceOf('wallet'),
    interfaceOf('chains'),
    interfaceOf('platform'),
  ],
  worker: everyone,
  facade: [
    ...everyone,
    'src/content/',
    'src/wallet/',
    'src/chains/',
    'src/error-messages.ts',
    'src/worker/contract.ts',
    'src/worker/load-wasm.ts',
    'src/worker/rpc.ts',
    'src/worker/start.ts',
  ],
}

/** Single files that may do more than their room, each with its reason. */
const exceptions: readonly { from: string; to: readonly string[]; typeOnly?: true }[] = [
  // Implementations are chosen here.
  { from: 'src/worker/main.ts', to: rooms.filter((room) => room !== 'facade').map(asFolder) },
  // The only file that knows the package that wasm-pack builds.
  { from: 'src/crypto/wasm.ts', to: ['wasm/pkg/'] },
  // What crosses the thread boundary is described by the engine's own plain types.
  { from: 'src/worker/contract.ts', to: ['src/engine/model.ts'], typeOnly: true },
]

/** What the whole SDK stands on. */
const foundations = ['src/errors.ts', 'src/async.ts', 'src/release.ts']

/** The public API holds no keys and no storage, so its entry sees no more than the facade does. */
const publicEntry = ['src/facade/', ...mayImport.facade]

function asFolder(room: Room): string {
  return `src/${room}/`
}

const isWithin = (path: string, allowed: readonly string[]): boolean =>
  allowed.some((entry) => (entry.endsWith('/') ? path.startsWith(entry) : path === entry))

const isException = ({ from, to, typeOnly }: Import): boolean =>
  exceptions.some(
    (rule) => rule.from === from && (typeOnly || !rule.typeOnly) && isWithin(to, rule.to),
  )

/** Returns why this import must not be, or undefined when it may. */
export const judgeImport = (found: Import): string | undefined => {
  const { from, to } = found
  if (isException(found)) return undefined

  const room = rooms.find((name) => from.startsWith(asFolder(name)))
  if (room !== undefined) {
    if (to.startsWith(asFolder(room)) || isWithin(to, mayImport[room])) return undefined
    const own = rooms.find((name) => to.startsWith(asFolder(name)))
    const instead =
      own && isWithin(interfaceOf(own), mayImport[room]) ? `; ${interfaceOf(own)} is for that` : ''
    return `${room} may not import ${to}${instead}`
  }
  if (foundations.includes(from)) return `${from} imports nothing, not even ${to}`
  if (from === 'src/index.ts' || from === 'src/api.ts') {
    return isWithin(to, [...publicEntry, 'src/api.ts', 'src/embedded.ts'])
      ? undefined
      : `the public entry may not import ${to}`
  }
  if (dirname(from) === 'src') {
    return to.startsWith('src/') || to.startsWith('wasm/pkg/')
      ? undefined
      : `an entry of the SDK may not import ${to}`
  }
  if (from.startsWith('node/')) {
    return isWithin(to, [
      'node/',
      ...everyone,
      'src/chains/',
      'src/error-messages.ts',
      'src/gen/padlock/v1/',
    ])
      ? undefined
      : `the node may not import ${to}`
  }
  if (from.startsWith('demo/') || from.startsWith('tests/browser/')) {
    return isWithin(to, ['src/', 'node/', 'wasm/'])
      ? `${to} is source: the demo and the browser tests use the built packages`
      : undefined
  }
  return undefined
}

const protobuf = '@bufbuild/protobuf'

/** The packages that a room may use. All of them end in the bundle, so the list is short. */
const mayUse: Readonly<Record<Room, readonly string[]>> = {
  gen: [protobuf],
  protocol: [protobuf, '@noble/hashes', '@noble/secp256k1', '@scure/base'],
  content: [protobuf],
  crypto: ['@scure/base'],
  store: [protobuf, 'idb', '@scure/base'],
  network: [protobuf, '@connectrpc/connect', '@connectrpc/connect-web'],
  wallet: [],
  // Of these only what is loaded for contract accounts.
  chains: ['viem'],
  platform: [],
  engine: ['@noble/hashes', '@scure/base'],
  worker: [],
  facade: ['@scure/base'],
}

/** Parts of viem. */
const ofViem = ['abitype', 'ox']

/** Everything that may end in the bundle of the SDK. */
export const packagesOfSdk: readonly string[] = [
  ...new Set(Object.values(mayUse).flat()),
  ...ofViem,
]

/**
 * What may end in the bundle of the node with the packages that it uses itself, which are the
 * devDependencies in node/package.json.
 */
export const partsOfNodePackages: readonly string[] = [
  ...ofViem,
  // Of cors.
  'object-assign',
  'vary',
  // Of pg.
  'pg-cloudflare',
  'pg-connection-string',
  'pg-int8',
  'pg-pool',
  'pg-protocol',
  'pg-types',
  'pgpass',
  'postgres-array',
  'postgres-bytea',
  'postgres-date',
  'postgres-interval',
  'split2',
  'xtend',
  // Of pino.
  '@pinojs/redact',
  'atomic-sleep',
  'on-exit-leak-free',
  'pino-std-serializers',
  'quick-format-unescaped',
  'safe-stable-stringify',
  'sonic-boom',
  'thread-stream',
  // Of prom-client.
  '@opentelemetry/api',
  'bintrees',
  'tdigest',
]

/** Names a package by what an import says: `@noble/hashes/sha2.js` is `@noble/hashes`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/**
 * Returns why `from` must not import this package, or undefined when it may.
 * `packagesOfNode` are the names in node/package.json.
 */
export const judgePackage = (
  from: string,
  specifier: string,
  typeOnly: boolean,
  packagesOfNode: ReadonlySet<string>,
): string | undefined => {
  const isBuiltIn = specifier.startsWith('node:')
  const name = isBuiltIn ? specifier : packageOf(specifier)
  if (from.startsWith('node/src/')) {
    if (isBuiltIn || typeOnly || packagesOfNode.has(name)) return undefined
    return `${name} is not among the packages in node/package.json`
  }
  if (!from.startsWith('src/')) return undefined
  const room = rooms.find((known) => from.startsWith(asFolder(known)))
  if (room !== undefined && mayUse[room].includes(name)) return undefined
  // What carries the worker and the wasm in itself, put there by the build.
  if (from === 'src/embedded.ts' && ['padlock:embedded', '@scure/base'].includes(name)) {
    return undefined
  }
  return `${room ?? from} may not use ${name}`
}

/** Whether a path can hold imports that the check reads. */
export const isScript = (path: string): boolean =>
  ['.ts', '.tsx', '.mts', '.js', '.mjs'].includes(extname(path))
