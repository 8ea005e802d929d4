/**
 * Makes the type declarations that an application sees: one file per entry, with the names that the
 * entry exports and nothing else. API Extractor rolls up what tsc emits, and writes a report of
 * each entry's API, which `api/` keeps.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'
import { codes } from '../src/errors.ts'
import { root } from './files.ts'
import { run } from './process.ts'

/** What is written for one entry, such as `inline`. */
interface Entry {
  readonly declarations: string
  readonly report: string
}

const importPattern = /(from\s+|import\(\s*|import\s+)(['"])(\.[^'"]+)\2/g

/** `await using` is newer than many applications' targets; a file that uses it says so. */
const nameLibrary = (text: string): string =>
  text.includes('Symbol.asyncDispose') ? `/// <reference lib="esnext.disposable" />\n${text}` : text

/** TypeScript leaves `.ts` in declarations; `.js` is what every resolver understands. */
const rewriteImports = (text: string): string =>
  text.replaceAll(
    importPattern,
    (_all, keyword, quote, specifier: string) =>
      `${keyword}${quote}${specifier.replace(/\.ts$/, '.js')}${quote}`,
  )

/** Spells out the codes, so that editors show them and the table stays internal. */
const spellCodes = (text: string): string =>
  text.replace(
    ' keyof typeof codes',
    Object.keys(codes)
      .map((code) => `\n    | '${code}'`)
      .join(''),
  )

/** The exports that both entries share, by name: `export *` from the package would add those of index.ts. */
const spellShared = (text: string, shared: string): string =>
  text.replace(/^export \* from '\.\/api\.js';$/m, () => shared)

/** Both entries then have the same types: inline declares only what is its own. */
const importFromPackage = (text: string): string =>
  text.replaceAll(importPattern, "$1'padlock-sdk'")

const emit = async (outDir: string): Promise<void> => {
  const args = ['-p', 'tsconfig.build.json', '--outDir', outDir, '--pretty', 'false']
  const { code, output } = await run('tsc', args, { cwd: root, output: 'collect' })
  if (code !== 0) throw new Error(`tsc could not emit declarations\n${output.trimEnd()}`)
  for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    writeFileSync(path, nameLibrary(spellCodes(rewriteImports(readFileSync(path, 'utf8')))))
  }
}

/** @throws when an export's type names something that the entry does not export. */
const rollUp = (dir: string, entry: string): Entry => {
  const path = join(dir, `${entry}.d.ts`)
  const config = ExtractorConfig.prepare({
    packageJsonFullPath: join(dir, 'package.json'),
    configObjectFullPath: undefined,
    configObject: {
      projectFolder: dir,
      mainEntryPointFilePath: path,
      newlineKind: 'lf',
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            lib: ['ES2022', 'DOM', 'DOM.Iterable'],
            module: 'ESNext',
            moduleResolution: 'Bundler',
            strict: true,
            types: [],
          },
          files: [path],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: entry,
        reportFolder: join(dir, 'api'),
        reportTempFolder: join(dir, 'api-temp'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: true, untrimmedFilePath: join(dir, `${entry}.rolled.d.ts`) },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          // Everything exported is public, and the report shows whether it has a doc comment.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          'ae-undocumented': { logLevel: ExtractorLogLevel.None },
        },
        // Examples in doc comments are plain code, which TSDoc would want fenced.
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  })
  const problems: string[] = []
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      message.handled = true
      if (message.logLevel !== ExtractorLogLevel.Error) return
      const place = message.sourceFilePath && basename(message.sourceFilePath)
      problems.push(`${place ?? entry}: ${message.text}`)
    },
  })
  if (!succeeded)
    throw new Error(`the types of ${entry} cannot be published\n${problems.join('\n')}`)
  return {
    declarations: readFileSync(join(dir, `${entry}.rolled.d.ts`), 'utf8'),
    report: readFileSync(join(dir, 'api', `${entry}.api.md`), 'utf8'),
  }
}

/**
 * Returns what each entry publishes, by its name.
 * @throws when tsc fails, or when the types need more than what is exported.
 */
export const makeDeclarations = async (): Promise<ReadonlyMap<string, Entry>> => {
  // Not below node_modules, where API Extractor takes every file for one of another package.
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'padlock-types-')))
  try {
    mkdirSync(join(dir, 'api'))
    await emit(dir)
    writeFileSync(join(dir, 'package.json'), '{ "name": "padlock-sdk", "type": "module" }')
    const index = rollUp(dir, 'index')

    const installed = join(dir, 'node_modules/padlock-sdk')
    mkdirSync(installed, { recursive: true })
    writeFileSync(join(installed, 'package.json'), '{ "types": "./index.d.ts" }')
    writeFileSync(join(installed, 'index.d.ts'), index.declarations)
    const inlinePath = join(dir, 'inline.d.ts')
    const inlineText = spellShared(
      readFileSync(inlinePath, 'utf8'),
      readFileSync(join(dir, 'api.d.ts'), 'utf8'),
    )
    writeFileSync(inlinePath, importFromPackage(inlineText))
    const { declarations, report } = rollUp(dir, 'inline')
    const inline = {
      report,
      declarations: declarations.replaceAll("'padlock-sdk'", "'./index.js'"),
    }
    return new Map([
      ['index', index],
      ['inline', inline],
      ['worker', rollUp(dir, 'worker')],
    ])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
