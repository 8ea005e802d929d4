/**
 * What an application's compiler says about the packed package: every TypeScript that the README
 * promises, with applications' usual settings, checking the declarations of packages too. The
 * README's wallet examples are copied unchanged. Needs no browser.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@playwright/test'
import { cacheDir, root } from '../../scripts/files.ts'
import { blocksOf, readText } from '../docs/markdown.ts'
import { createProject, npm, type Project } from './project.ts'

/** The oldest that the README promises, and the last of each major release that came after it. */
const olderCompilers = ['5.4.5', '5.9.3', '6.0.3']
const compilers = [...olderCompilers, 'of this checkout']

const modules = { bundler: 'ESNext', nodenext: 'NodeNext' } as const

const browser = ['ES2022', 'DOM', 'DOM.Iterable']
const libraries: Readonly<Record<string, object>> = {
  'browser libraries': { lib: browser },
  'the libraries of ES2022': {},
  // TypeScript's own libraries contradict each other here, so they alone are left out of the check.
  'those of workers too': { lib: [...browser, 'WebWorker'], skipDefaultLibCheck: true },
}

let project: Project

/** The path of a compiler's `tsc`, installed once. */
const findCompiler = async (version: string): Promise<string> => {
  const tsc = 'node_modules/typescript/bin/tsc'
  if (!olderCompilers.includes(version)) return join(root, tsc)
  const target = join(cacheDir, `typescript-${version}`)
  if (!existsSync(target)) {
    const fresh = mkdtempSync(join(cacheDir, 'typescript-'))
    writeFileSync(join(fresh, 'package.json'), '{ "private": true }')
    await npm(fresh, 'install', '--prefer-offline', '--no-audit', `typescript@${version}`)
    renameSync(fresh, target)
  }
  return join(target, tsc)
}

const isOfLibrary = (code: string): boolean => /from '(?:viem|ethers)/.test(code)

/** The README's wallet examples as files. What viem and ethers declare must not be there for the others. */
const readExamples = () => {
  const [, section = ''] = /^## Wallets\n(.*?)^### /ms.exec(readText('README.md')) ?? []
  const examples = blocksOf(section, 'ts').map(({ code, line }) => ({
    path: `wallet-${line}.ts`,
    code,
  }))
  return {
    plain: examples.filter(({ code }) => !isOfLibrary(code)),
    ofLibraries: examples.filter(({ code }) => isOfLibrary(code)),
  }
}
const examples = readExamples()
const pathsOf = (files: readonly { readonly path: string }[]) => files.map(({ path }) => path)

/** What the compiler prints, which is nothing when all is well. */
const compile = async (
  version: string,
  resolution: keyof typeof modules,
  files: readonly string[],
  options: object,
): Promise<string> => {
  const config = {
    compilerOptions: {
      target: 'ES2022',
      module: modules[resolution],
      moduleResolution: resolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
      ...options,
    },
    files,
  }
  project.write({ 'tsconfig.json': JSON.stringify(config) })
  const tsc = await findCompiler(version)
  return project
    .runNode([tsc, '-p', '.', '--pretty', 'false'])
    .catch((error: { stdout?: string }) => error.stdout || String(error))
}

test.beforeAll(async () => {
  test.setTimeout(300_000)
  mkdirSync(cacheDir, { recursive: true })
  project = await createProject(['viem', 'ethers'])
  const consumer = readFileSync(join(import.meta.dirname, 'consumer.ts'), 'utf8')
  project.write({ 'consumer.ts': consumer })
  for (const { path, code } of [...examples.plain, ...examples.ofLibraries])
    project.write({ [path]: code })
})

test.afterAll(() => project?.delete())

test('there is one file of declarations for each entry', () => {
  const types = project.sdk.contents.filter((path) => path.includes('types/')).sort()
  expect(types).toEqual([
    'dist/types/index.d.ts',
    'dist/types/inline.d.ts',
    'dist/types/worker.d.ts',
  ])
})

for (const version of compilers) {
  for (const resolution of ['bundler', 'nodenext'] as const) {
    const title = `TypeScript ${version} with ${resolution} resolution`

    for (const [name, options] of Object.entries(libraries)) {
      test(`${title} and ${name} takes what an application does`, async () => {
        const files = ['consumer.ts', ...pathsOf(examples.plain)]
        expect(files).toHaveLength(2)
        expect(await compile(version, resolution, files, options)).toBe('')
      })
    }

    test(`${title} takes the README's examples with viem and ethers`, async () => {
      expect(examples.ofLibraries).toHaveLength(3)
      // Their own declarations are not Padlock's to check.
      const options = { lib: browser, skipLibCheck: true }
      expect(await compile(version, resolution, pathsOf(examples.ofLibraries), options)).toBe('')
    })
  }
}
