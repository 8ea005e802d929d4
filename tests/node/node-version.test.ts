/** On a Node.js that is too old the command says so, before it loads what that one does not have. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import packageJson from '../../node/package.json' with { type: 'json' }
import { oldestNode, whyTooOld } from '../../node/src/node-version.ts'

const execute = promisify(execFile)
const main = fileURLToPath(new URL('../../node/src/main.ts', import.meta.url))

test('package.json names the same version', () => {
  expect(packageJson.engines.node).toBe(`>=${oldestNode.major}.${oldestNode.minor}`)
})

test.each(['22.16.0', '22.21.1', '23.0.0', '24.0.0', '100.0.0'])('%s will do', (version) => {
  expect(whyTooOld(version)).toBeUndefined()
})

test.each(['22.15.1', '22.2.0', '21.16.0', '20.20.2', '18.19.0', '8.99.0', ''])(
  '"%s" is too old, and named',
  (version) => {
    expect(whyTooOld(version)).toBe(
      `it needs Node.js 22.16 or newer, and this is Node.js ${version}.`,
    )
  },
)

/** What Node loads before the command, to pass for one of version 20. */
const passForOld = `
import { registerHooks } from 'node:module'
Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })
registerHooks({
  resolve(name, context, next) {
    if (name === 'node:sqlite') throw new Error('No such built-in module: node:sqlite')
    return next(name, context)
  },
})`

test('the command asks before it loads anything else, whatever its arguments', async () => {
  const preload = `data:text/javascript,${encodeURIComponent(passForOld)}`
  for (const argument of ['--help', 'backup', '--port=0']) {
    const ending = execute(process.execPath, ['--import', preload, main, argument])
    await expect(ending).rejects.toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'padlock-node: it needs Node.js 22.16 or newer, and this is Node.js 20.20.2.\n',
    })
  }
})
