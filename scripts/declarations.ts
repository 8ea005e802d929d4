/**
 * Emits the type declarations that an application sees, and only those.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { root } from './files.ts'
import { run } from './process.ts'

const importPattern = /(from\s+|import\(\s*|import\s+)(['"])([^'"]+)\2/g

/** `await using` is newer than what many applications compile for; a file that has it says so. */
const nameLibrary = (text: string): string =>
  text.includes('Symbol.asyncDispose') ? `/// <reference lib="esnext.disposable" />\n${text}` : text

/** TypeScript leaves `.ts` in declarations; `.js` is what every resolver understands. */
const rewriteImports = (text: string): string =>
  text.replaceAll(importPattern, (all, keyword, quote, specifier: string) =>
    specifier.startsWith('.')
      ? `${keyword}${quote}${specifier.replace(/\.ts$/, '.js')}${quote}`
      : all,
  )

/**
 * Writes to `outDir` what can be reached from the entries, so that no declaration needs a package
 * that an application does not have.
 * @throws when tsc fails, or when the public types name a package.
 */
export const emitDeclarations = async (
  entries: readonly string[],
  workDir: string,
  outDir: string,
): Promise<void> => {
  const allDir = join(workDir, 'declarations')
  const { code, output } = await run(
    'tsc',
    ['-p', 'tsconfig.build.json', '--outDir', allDir, '--pretty', 'false'],
    { cwd: root, output: 'collect' },
  )
  if (code !== 0) throw new Error(`tsc could not emit declarations\n${output.trimEnd()}`)

  const waiting = entries.map((entry) => join(allDir, `${entry}.d.ts`))
  const kept = new Set<string>()
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (kept.has(path)) continue
    kept.add(path)
    const text = nameLibrary(rewriteImports(readFileSync(path, 'utf8')))
    // Examples in comments import what applications bring along.
    const statements = text.replaceAll(/\/\*[\s\S]*?\*\//g, '')
    for (const [, , , specifier = ''] of statements.matchAll(importPattern)) {
      if (!specifier.startsWith('.')) {
        throw new Error(`the public types need ${specifier}, in ${relative(allDir, path)}`)
      }
      waiting.push(join(dirname(path), specifier.replace(/\.js$/, '.d.ts')))
    }
    const target = join(outDir, relative(allDir, path))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text)
  }
}
