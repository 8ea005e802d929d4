/**
 * What a stranger gets: both packages as they are published, in an empty project. Playwright runs
 * this in Chromium, on the packages that `npm run build` left in dist/ and node/dist.
 */
import { join, resolve } from 'node:path'
import { expect, type Page, test } from '@playwright/test'
import { build } from 'esbuild'
import { appFiles, goodTitle } from './app.ts'
import { createProject, type Project } from './project.ts'
import { type StartedNode, serveFolder, startInstalledNode } from './servers.ts'

let project: Project
let node: StartedNode

test.beforeAll(async () => {
  test.setTimeout(300_000)
  project = await createProject(['vite', 'webpack', 'viem'])
  project.write(appFiles)
  node = await startInstalledNode(project.dir)
})

test.afterAll(async () => {
  await node?.stop()
  project?.delete()
})

/** Opens what a bundler built and returns the title once the page has written its verdict. */
const readVerdict = async (page: Page, folder: string, workers = "'self'"): Promise<string> => {
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  const served = await serveFolder(join(project.dir, folder), node.url, workers)
  try {
    await page.goto(`${served.url}?node=${encodeURIComponent(node.url)}`)
    await expect(page, problems.join('\n')).not.toHaveTitle('running', { timeout: 60_000 })
    return await page.title()
  } finally {
    await served.stop()
  }
}

test('the packages hold what is needed to run, and no sources', () => {
  expect(project.sdk.contents).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'dist/THIRD-PARTY-LICENSES.txt',
      'dist/chains.js',
      'dist/index.js',
      'dist/padlock.wasm',
      'dist/types/index.d.ts',
      'dist/worker.js',
      'package.json',
    ]),
  )
  expect(project.node.contents).toEqual(expect.arrayContaining(['LICENSE', 'dist/main.js']))
  const all = [...project.sdk.contents, ...project.node.contents]
  expect(all.filter((path) => /(?<!\.d)\.ts$|\.rs$|\.proto$/.test(path))).toEqual([])
})

test('a page built by vite exchanges messages through the installed node', async ({ page }) => {
  const vite = 'node_modules/vite/bin/vite.js'
  await project.runNode([vite, 'build', '--outDir', 'vite-dist', '--logLevel', 'error'])
  expect(await readVerdict(page, 'vite-dist')).toBe(goodTitle)
})

test('a page built by webpack exchanges messages through the installed node', async ({ page }) => {
  const warnings = await project.runNode(['build-webpack.js'])
  expect(warnings).not.toMatch(/padlock/i)
  expect(await readVerdict(page, 'webpack-dist')).toBe(goodTitle)
})

test('the inline entry is one file that needs no worker and no wasm beside it', async ({
  page,
}) => {
  await build({
    absWorkingDir: project.dir,
    entryPoints: ['inline-page.js'],
    outfile: 'inline-dist/page.js',
    bundle: true,
    format: 'esm',
  })
  expect(await readVerdict(page, 'inline-dist', 'blob:')).toBe(goodTitle)
})

for (const resolution of ['bundler', 'nodenext']) {
  test(`the public types compile with ${resolution} resolution`, async () => {
    const tsc = resolve(import.meta.dirname, '../../node_modules/typescript/bin/tsc')
    const printed = await project
      .runNode([tsc, '-p', `tsconfig.${resolution}.json`, '--pretty', 'false'])
      .catch((error: { stdout?: string }) => error.stdout ?? String(error))
    expect(printed).toBe('')
  })
}

test('on a server the SDK can be imported, and creating a client says where it is wrong', async () => {
  expect((await project.runNode(['server.js'])).trim()).toBe('unsupported_platform')
})

test('the installed node explains itself and stops cleanly', async () => {
  const help = await project.runNode(['node_modules/padlock-node/dist/main.js', '--help'])
  for (const option of ['--data', '--port', '--host']) expect(help).toContain(option)
  expect(await node.stop()).toBe(0)
})
