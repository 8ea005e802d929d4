/**
 * Who may import whom (docs/architecture.md section 1), as one table. check-boundaries.ts reads the
 * files and applies it.
 */
import { dirname } from 'node:path'

import type { Import } from './imports.ts'

/** The modules of `src/`, a folder each; the file of an interface has the name of its module. */
const modules = [
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
type Module = (typeof modules)[number]

const interfaceOf = (module: Module): string => `src/${module}/${module}.ts`

const everyone = ['src/protocol/', 'src/errors.ts', 'src/async.ts', 'src/release.ts']

/** What a module may import beside itself: a folder (ends with `/`) or a file. */
const mayImport: Readonly<Record<Module, readonly string[]>> = {
  gen: [],
  protocol: ['src/errors.ts', 'src/gen/padlock/v1/'],
  content: [...everyone, 'src/gen/padlock/v1/'],
  crypto: everyone,
  // Its records have their own schema, which nothing else reads.
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
    // What the store holds is part of its interface; how it stores it is not.
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
    'src/worker/local-database.ts',
    'src/worker/rpc.ts',
    'src/worker/start.ts',
  ],
}

/**
 * The folders of the engine, top to bottom: a file may import those of its own folder and of the
 * levels below. What stands beside each other does not know each other. The first level is the files
 * of `src/engine/` itself; the types of `model.ts`, which applications see, are everybody's.
 */
const engineLevels: readonly (readonly string[])[] = [
  ['.'],
  ['subscription'],
  ['receiving'],
  ['retransmission'],
  ['sending', 'keys'],
  ['membership', 'messages'],
  ['consent', 'sessions'],
  ['runtime'],
]
const engineModel = 'src/engine/model.ts'

const engineFolder = (path: string): string =>
  dirname(path) === 'src/engine' ? '.' : (path.split('/')[2] ?? '')

const engineLevel = (folder: string): number =>
  engineLevels.findIndex((folders) => folders.includes(folder))

const judgeWithinEngine = ({ from, to }: Pick<Import, 'from' | 'to'>): string | undefined => {
  if (to === engineModel) return undefined
  if (from === engineModel) return `the engine's model may not import ${to}`
  const [above, below] = [engineFolder(from), engineFolder(to)]
  const [fromLevel, toLevel] = [engineLevel(above), engineLevel(below)]
  if (fromLevel < 0 || toLevel < 0) return `${from} or ${to} is in no folder of the engine's table`
  if (above === below || fromLevel < toLevel) return undefined
  return `engine/${above} may not import ${to}: arrows run downwards`
}

/** Single files that may do more than their module, each with its reason. */
const exceptions: readonly { from: string; to: readonly string[]; typeOnly?: true }[] = [
  // Implementations are chosen here.
  { from: 'src/worker/main.ts', to: modules.filter((module) => module !== 'facade').map(asFolder) },
  // The only file that knows the package that wasm-pack builds.
  { from: 'src/crypto/wasm.ts', to: ['wasm/pkg/'] },
  // The engine's own plain types describe what crosses the thread boundary.
  { from: 'src/worker/contract.ts', to: ['src/engine/model.ts'], typeOnly: true },
]

/** The base of the whole SDK. */
const foundations = ['src/errors.ts', 'src/async.ts', 'src/release.ts']

/** The public API holds no keys and no storage, so its entry sees no more than the facade does. */
const publicEntry = ['src/facade/', ...mayImport.facade]

function asFolder(module: Module): string {
  return `src/${module}/`
}

const isWithin = (path: string, allowed: readonly string[]): boolean =>
  allowed.some((entry) => (entry.endsWith('/') ? path.startsWith(entry) : path === entry))

const isException = ({ from, to, typeOnly }: Pick<Import, 'from' | 'to' | 'typeOnly'>): boolean =>
  exceptions.some(
    (rule) => rule.from === from && (typeOnly || !rule.typeOnly) && isWithin(to, rule.to),
  )

/** Returns why this import must not be, or undefined when it may. */
export const judgeImport = (
  found: Pick<Import, 'from' | 'to' | 'typeOnly'>,
): string | undefined => {
  const { from, to } = found
  if (isException(found)) return undefined

  const module = modules.find((name) => from.startsWith(asFolder(name)))
  if (module === 'engine' && to.startsWith(asFolder('engine'))) return judgeWithinEngine(found)
  if (module !== undefined) {
    if (to.startsWith(asFolder(module)) || isWithin(to, mayImport[module])) return undefined
    const own = modules.find((name) => to.startsWith(asFolder(name)))
    const instead =
      own && isWithin(interfaceOf(own), mayImport[module])
        ? `; ${interfaceOf(own)} is for that`
        : ''
    return `${module} may not import ${to}${instead}`
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

/** The packages that a module may use. All of them end in the bundle, so the list is short. */
const mayUse: Readonly<Record<Module, readonly string[]>> = {
  gen: [protobuf],
  protocol: [protobuf, '@noble/hashes', '@noble/secp256k1', '@scure/base'],
  content: [protobuf],
  crypto: ['@scure/base'],
  store: [protobuf, 'idb', '@scure/base'],
  network: [protobuf, '@connectrpc/connect', '@connectrpc/connect-web'],
  wallet: [],
  // Only in the file that is loaded for contract accounts.
  chains: ['viem'],
  platform: [],
  engine: ['@noble/hashes', '@scure/base'],
  worker: [],
  facade: ['@scure/base'],
}

/** Parts of viem. */
const ofViem = ['abitype', 'ox']

/** Everything that may end up in the bundle of the SDK. */
export const packagesOfSdk: readonly string[] = [
  ...new Set(Object.values(mayUse).flat()),
  ...ofViem,
]

/**
 * What may end up in the node's bundle along with the packages that it uses itself, the
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

/** The package that an import names: `@noble/hashes/sha2.js` is in `@noble/hashes`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/**
 * Returns why `from` must not import this package, or undefined if it may. `packagesOfNode` are the
 * names in node/package.json.
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
  const module = modules.find((known) => from.startsWith(asFolder(known)))
  if (module !== undefined && mayUse[module].includes(name)) return undefined
  // What carries the worker and the wasm in itself, put there by the build.
  if (from === 'src/embedded.ts' && ['padlock:embedded', '@scure/base'].includes(name)) {
    return undefined
  }
  return `${module ?? from} may not use ${name}`
}
