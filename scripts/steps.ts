/**
 * The table of everything that `dev/test` and `npm run verify` run, in order. The program that a
 * step calls does the work; this table says how to call it and count the result.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserName } from './browsers.ts'
import { cacheDir, listFilesBelow, root } from './files.ts'
import { type RunOptions, run } from './process.ts'
import {
  add,
  type Counts,
  countCheck,
  countLibtest,
  countPlaywright,
  countVitest,
  none,
  readTestPrograms,
} from './results.ts'

export interface Step {
  readonly name: string
  readonly says: string
  /** The browsers that it runs in; `npm run verify` leaves out steps that need any. */
  readonly browsers?: readonly BrowserName[]
  /** Takes minutes, so `npm run verify` leaves it out. */
  readonly isLong?: true
  /** Whether there is anything to run yet; a step without files counts as nothing. */
  readonly hasFiles?: () => boolean
  readonly run: () => Promise<Counts>
}

const wasmDir = join(root, 'wasm')

const hasCrate = (): boolean => existsSync(join(wasmDir, 'Cargo.toml'))

const isBuilt = (): boolean => existsSync(join(root, 'dist/worker.js'))

const hasTests = (...folders: string[]): boolean =>
  folders.some((folder) => listFilesBelow(folder).some((path) => /\.(test|spec)\.ts$/.test(path)))

const check = async (command: string, args: string[], options?: RunOptions): Promise<Counts> =>
  countCheck((await run(command, args, { cwd: root, ...options })).code)

const script = (name: string, ...args: string[]): Promise<Counts> =>
  check(process.execPath, [join('scripts', name), ...args])

/** A new path for a runner's report, so that an old one is never read. */
const newReport = (name: string): string => {
  mkdirSync(cacheDir, { recursive: true })
  const path = join(cacheDir, `${name}-report.json`)
  rmSync(path, { force: true })
  return path
}

const runCargoTests = async (): Promise<Counts> => {
  const built = await run(
    'cargo',
    ['test', '--locked', '--no-run', '--message-format=json-render-diagnostics'],
    { cwd: wasmDir, output: 'collect' },
  )
  if (built.code !== 0) {
    console.log(built.output.replaceAll(/^\{.*\n/gm, '').trimEnd())
    return { ...none, failed: 1 }
  }
  let counts = none
  for (const program of readTestPrograms(built.stdout)) {
    // libtest prints JSON only with unstable options enabled; nothing is compiled with them.
    const env = { RUSTC_BOOTSTRAP: '1', CARGO_MANIFEST_DIR: wasmDir }
    const args = ['-Z', 'unstable-options', '--format', 'json']
    const finished = await run(program, args, { cwd: wasmDir, env, output: 'collect' })
    const part = countLibtest(finished.stdout, finished.code)
    if (part.failed > 0) console.log(finished.output.trimEnd())
    counts = add(counts, part)
  }
  return counts
}

const runVitest = async (): Promise<Counts> => {
  const report = newReport('vitest')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  // A test that hangs hits its own limit; all of them together take long on a busy machine.
  const { code } = await run('vitest', ['run', ...reporters], { cwd: root, timeoutMs: 60 * 60_000 })
  return countVitest(report, code)
}

const runPlaywright = async (...args: string[]): Promise<Counts> => {
  const report = newReport('playwright')
  const env = { PLAYWRIGHT_JSON_OUTPUT_FILE: report }
  const { code } = await run('playwright', ['test', '--reporter=list,json', ...args], {
    cwd: root,
    env,
    timeoutMs: 30 * 60_000,
  })
  return countPlaywright(report, code)
}

/**
 * About two minutes on two idle cores. Always the same seeds, so that what runs does not depend on
 * the machine's speed; `npm run simulate` starts anywhere.
 */
const simulatedSeeds = 32
const firstSimulatedSeed = 1

export const steps: readonly Step[] = [
  {
    name: 'wasm',
    says: 'the crate builds to WebAssembly',
    hasFiles: () => hasCrate() && existsSync(join(root, 'scripts/build-wasm.sh')),
    run: () => check('bash', ['scripts/build-wasm.sh']),
  },
  {
    name: 'build',
    says: 'both packages build',
    hasFiles: () => existsSync(join(root, 'src/index.ts')),
    run: () => script('build.ts'),
  },
  { name: 'format', says: 'files are formatted', run: () => check('biome', ['format', '.']) },
  {
    name: 'lint',
    says: 'lint rules hold, types included',
    run: () => check('biome', ['check', '--formatter-enabled=false', '--error-on-warnings', '.']),
  },
  { name: 'types', says: 'types hold', run: () => check('tsc', ['-p', '.']) },
  {
    name: 'types-oldest',
    says: 'src/ uses no language newer than its oldest browsers',
    run: () => check('tsc', ['-p', 'src/tsconfig.json']),
  },
  {
    name: 'types-protocol',
    says: 'protocol/ compiles without platform types',
    hasFiles: () => existsSync(join(root, 'src/protocol/tsconfig.json')),
    run: () => check('tsc', ['-p', 'src/protocol/tsconfig.json']),
  },
  {
    name: 'api',
    says: 'the public API is what api/ says',
    hasFiles: () => existsSync(join(root, 'src/index.ts')),
    run: () => script('check-api.ts'),
  },
  {
    name: 'boundaries',
    says: 'folders import only what they may',
    run: () => script('check-boundaries.ts'),
  },
  {
    name: 'pictures',
    says: 'docs/pictures show the imports as they are',
    run: () => script('draw-modules.ts'),
  },
  {
    name: 'knip',
    says: 'every file, export and package is used, and every package listed',
    run: () => check('knip', ['--no-progress', '--treat-config-hints-as-errors']),
  },
  { name: 'schemas', says: 'buf lint finds nothing', run: () => check('buf', ['lint']) },
  {
    name: 'generated',
    says: 'src/gen is what proto/ generates',
    run: () => script('check-generated.ts'),
  },
  { name: 'leaks', says: 'nothing names a machine', run: () => script('check-leaks.ts') },
  {
    name: 'size',
    says: 'the first load fits its budget',
    hasFiles: isBuilt,
    run: () => script('check-size.ts'),
  },
  {
    name: 'publint',
    says: 'both packages are packed as bundlers and Node.js expect',
    hasFiles: isBuilt,
    run: async () => {
      const lint = (folder: string): Promise<Counts> =>
        check('publint', ['run', folder, '--strict', '--pack', 'npm'])
      return add(await lint('.'), await lint('node'))
    },
  },
  {
    name: 'attw',
    says: 'every way to import the packed SDK finds its types (the package is ESM only)',
    hasFiles: isBuilt,
    run: () =>
      check('attw', [
        ...['--pack', '.', '--profile', 'esm-only', '--no-definitely-typed'],
        // A file to serve, without types.
        ...['--exclude-entrypoints', './padlock.wasm'],
        ...['--format', 'ascii', '--no-summary'],
      ]),
  },
  { name: 'docs', says: 'examples in docs compile', run: () => script('check-docs.ts') },
  {
    name: 'rustfmt',
    says: 'Rust is formatted',
    hasFiles: hasCrate,
    run: () => check('cargo', ['fmt', '--check'], { cwd: wasmDir }),
  },
  {
    name: 'clippy',
    says: 'clippy finds nothing, on this machine and in browsers',
    hasFiles: hasCrate,
    run: async () => {
      const clippy = (...what: string[]): Promise<Counts> =>
        check('cargo', ['clippy', '--locked', '-q', ...what, '--', '-D', 'warnings'], {
          cwd: wasmDir,
        })
      // Some code compiles only for the browser, the tests only for this machine.
      return add(
        await clippy('--all-targets'),
        await clippy('--lib', '--target', 'wasm32-unknown-unknown'),
      )
    },
  },
  { name: 'cargo', says: 'Rust tests', hasFiles: hasCrate, run: runCargoTests },
  { name: 'vitest', says: 'tests in Node', run: runVitest },
  {
    name: 'simulation',
    says: 'everyone’s bad days, replayed from seeds',
    isLong: true,
    hasFiles: () => existsSync(join(root, 'wasm/pkg/padlock.wasm')),
    run: () =>
      check(
        process.execPath,
        [
          join('scripts', 'simulate.ts'),
          ...['--seeds', `${simulatedSeeds}`],
          ...['--seed', process.env.PADLOCK_SEED ?? `${firstSimulatedSeed}`],
          ...['--jobs', '2'],
        ],
        { timeoutMs: 45 * 60_000 },
      ),
  },
  {
    name: 'browser',
    says: 'tests in Chromium and Firefox',
    browsers: ['chromium', 'firefox'],
    hasFiles: () => hasTests('tests/browser'),
    run: () => runPlaywright('--project=chromium', '--project=firefox'),
  },
  {
    name: 'webkit',
    says: 'tests in WebKitGTK',
    browsers: ['webkit'],
    hasFiles: () => hasTests('tests/browser'),
    run: () => runPlaywright('--project=webkit'),
  },
  {
    name: 'bundlers',
    says: 'the packed SDK in every bundler of the README',
    browsers: ['chromium'],
    run: () => runPlaywright('--project=bundlers'),
  },
  {
    name: 'packaging',
    says: 'the packed packages in empty projects',
    browsers: ['chromium'],
    hasFiles: () => hasTests('tests/packaging') && existsSync(join(root, 'src/index.ts')),
    run: () => runPlaywright('--project=packaging'),
  },
]
