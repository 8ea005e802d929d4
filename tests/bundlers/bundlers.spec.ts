/**
 * Every bundler of the README, dev server and production build: a project that installs the packed
 * SDK without configuring it sends messages in a real browser.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, type Page, test } from '@playwright/test'
import { pack } from '../packaging/project.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { goodVerdict, preparePage, readVerdict } from './page.ts'
import { type BundlerProject, createBundlerProject } from './project.ts'
import { serveFiles } from './server.ts'
import { bundlers } from './table.ts'

let node: NodeProcess
let packedDir: string
let tarball: string
test.beforeAll(async () => {
  packedDir = mkdtempSync(join(tmpdir(), 'padlock-packed-'))
  tarball = (await pack('.', packedDir)).file
  node = await startNodeProcess()
})
test.afterAll(async () => {
  await node?.close()
  rmSync(packedDir, { recursive: true, force: true })
})

/** Opens the page and returns its verdict and what the SDK said of how it started. */
const visit = async (page: Page, url: string): Promise<{ verdict: string; said: string[] }> => {
  const seen = await preparePage(page)
  await page.goto(`${url}?node=${encodeURIComponent(node.url)}`)
  const verdict = await readVerdict(page, seen)
  return { verdict, said: seen.filter((line) => line.includes('Padlock started')) }
}

let project: BundlerProject | undefined
test.afterEach(async () => {
  await project?.delete()
  project = undefined
})

for (const bundler of bundlers) {
  test(`${bundler.name} sends a message`, async ({ page }) => {
    project = await createBundlerProject(bundler.project, tarball)
    for (const [name, text] of Object.entries(bundler.files ?? {})) {
      writeFileSync(join(project.dir, name), text)
    }
    for (const command of bundler.commands) await project.run(command)
    const { dir } = project
    let url: string
    let close = async () => {}
    if (bundler.server) url = await project.serve(bundler.server)
    else {
      const folder = join(dir, bundler.folder ?? '.')
      const html = join(dir, 'public/index.html')
      if (existsSync(html)) copyFileSync(html, join(folder, 'index.html'))
      const server = await serveFiles(folder)
      url = server.url
      close = server.close
    }
    try {
      const { verdict, said } = await visit(page, url)
      expect(verdict).toBe(goodVerdict)
      expect(said).toHaveLength(bundler.leavesWorkerBehind ? 1 : 0)
      if (bundler.leavesWorkerBehind) expect(said[0]).toContain('from the copy inside')
    } finally {
      await close()
    }
  })
}

test('vite 8 with its files on another origin sends a message', async ({ page }) => {
  project = await createBundlerProject('vite-8', tarball)
  const dist = join(project.dir, 'dist')
  mkdirSync(dist)
  const cdn = await serveFiles(dist, { 'access-control-allow-origin': '*' })
  const own = await serveFiles(dist)
  try {
    await project.run(['vite', 'build', '--base', cdn.url])
    const { verdict, said } = await visit(page, own.url)
    expect(verdict).toBe(goodVerdict)
    expect(said).toHaveLength(1)
    expect(said[0]).toContain('is on another origin')
  } finally {
    await cdn.close()
    await own.close()
  }
})

for (const [entry, where] of [
  ['index.js', 'own'],
  ['index.js', 'another'],
  ['inline.js', 'own'],
  ['inline.js', 'another'],
] as const) {
  test(`without a bundler, ${entry} on ${where} origin sends a message`, async ({ page }) => {
    project = await createBundlerProject('plain', tarball)
    const cdn = await serveFiles(project.dir, { 'access-control-allow-origin': '*' })
    const own = await serveFiles(project.dir)
    const base = where === 'own' ? '/' : cdn.url
    const imports = { 'padlock-sdk': `${base}node_modules/padlock-sdk/dist/${entry}` }
    const html = `<!doctype html><meta charset="utf-8"><title>running</title>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="./conversation.js"></script>`
    writeFileSync(join(project.dir, 'index.html'), html)
    try {
      const { verdict, said } = await visit(page, own.url)
      expect(verdict).toBe(goodVerdict)
      expect(said).toHaveLength(entry === 'index.js' && where === 'another' ? 1 : 0)
    } finally {
      await cdn.close()
      await own.close()
    }
  })
}
