/**
 * Type-checks every example of README.md, docs/ and the doc comments of src/ against the sources.
 * An example may use the names below without declaring them, as a reader would.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Example, findExamples } from './examples.ts'
import { cacheDir, listSourceFiles, root } from './files.ts'
import { run } from './process.ts'

/** Names that examples may use without declaring them; an example's own declaration wins. */
const takenForGranted = `import type { Client, Conversation, Message, WalletLike } from 'padlock-sdk'
declare global {
  const createClient: typeof import('padlock-sdk').createClient
  const PadlockError: typeof import('padlock-sdk').PadlockError
  const deleteLocalData: typeof import('padlock-sdk').deleteLocalData
  const listInstallations: typeof import('padlock-sdk').listInstallations
  const revokeInstallations: typeof import('padlock-sdk').revokeInstallations
  const wallet: WalletLike
  const node: string
  const client: Client
  const conversation: Conversation
  const chat: Conversation
  const message: Message
  const signal: AbortSignal
  function show(...what: readonly unknown[]): void
}
`

const isDocument = (path: string): boolean =>
  path === 'README.md' ||
  /^docs\/.*\.md$/.test(path) ||
  (/^src\/.*\.ts$/.test(path) && !path.startsWith('src/gen/'))

/** Each example is a module, padded so that its line numbers match its document. */
const asModule = ({ code, line }: Example): string => `${'\n'.repeat(line - 1)}${code}\nexport {}\n`

const compile = async (examples: readonly Example[], dir: string): Promise<boolean> => {
  const placeOf = new Map<string, string>()
  for (const [index, example] of examples.entries()) {
    const name = `example-${index}.ts`
    placeOf.set(name, example.path)
    writeFileSync(join(dir, name), asModule(example))
  }
  writeFileSync(join(dir, 'granted.ts'), takenForGranted)
  const toRoot = relative(dir, root)
  const config = {
    extends: `${toRoot}/tsconfig.json`,
    compilerOptions: {
      paths: { 'padlock-sdk': [`${toRoot}/src/index.ts`] },
      noUnusedLocals: false,
    },
    include: ['*.ts'],
  }
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(config))
  const { code, output } = await run('tsc', ['-p', '.', '--pretty', 'false'], {
    cwd: dir,
    output: 'collect',
  })
  const named = output.replaceAll(/^example-\d+\.ts/gm, (name) => placeOf.get(name) ?? name)
  if (code !== 0) console.log(named.trimEnd())
  return code === 0
}

const examples = listSourceFiles()
  .filter(isDocument)
  .flatMap((path) => findExamples(path, readFileSync(join(root, path), 'utf8')))
if (examples.length === 0) {
  console.log('no examples yet')
  process.exit(0)
}
mkdirSync(cacheDir, { recursive: true })
const dir = mkdtempSync(join(cacheDir, 'docs-'))
const compiles = await compile(examples, dir)
rmSync(dir, { recursive: true, force: true })
console.log(`${examples.length} examples ${compiles ? 'compile' : 'checked, not all compile'}`)
process.exit(compiles ? 0 : 1)
