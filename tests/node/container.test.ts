/** The image's own command, which no test builds: where a node in a container has its data. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { readOptions } from '../../node/src/options/read.ts'

const image = readFileSync(fileURLToPath(new URL('../../node/Dockerfile', import.meta.url)), 'utf8')

/** What the command starts the node with, of these variables. */
function startWith(variables: Record<string, string>): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-container-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const [, script = ''] = /printf '([^']*)' > \/usr\/local\/bin\/padlock-node/.exec(image) ?? []
  const command = join(folder, 'padlock-node')
  writeFileSync(command, script.replaceAll('\\n', '\n'))
  // In place of node: shows what it would see.
  writeFileSync(join(folder, 'node'), '#!/bin/sh\nexec env\n')
  for (const file of [command, join(folder, 'node')]) chmodSync(file, 0o755)
  const path = `${folder}${delimiter}${process.env.PATH}`
  const [, fixed = ''] = /^ENV ((?:.*\\\n)*.*)$/m.exec(image) ?? []
  const ofImage = Object.fromEntries(
    [...fixed.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
  )
  const shown = execFileSync(command, { env: { ...ofImage, ...variables, PATH: path } }).toString()
  return Object.fromEntries(
    [...shown.matchAll(/^(PADLOCK_\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
}

test('a container has its data in its volume, or in the database that it is given', () => {
  const read = (variables: Record<string, string>) => readOptions([], startWith(variables))
  expect(read({})).toMatchObject({ settings: { data: '/data' } })
  expect(read({ PADLOCK_DATA: '/elsewhere' })).toMatchObject({ settings: { data: '/elsewhere' } })
  const url = 'postgres://padlock@database/padlock'
  expect(read({ PADLOCK_DATABASE: url })).toMatchObject({ settings: { database: url } })
})

test('its health check asks whether to restart it, not whether to send it requests', () => {
  expect(image).toMatch(/HEALTHCHECK[\s\S]*\/healthz/)
})
