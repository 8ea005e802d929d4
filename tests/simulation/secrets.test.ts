/** Nothing secret leaves a simulated bad day, and what was planted on purpose is found. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { runSeed as firstSeed } from '../support/random.ts'
import type { SecretsOutcome } from './secrets-main.ts'

const search = async (seed: number): Promise<SecretsOutcome> => {
  const main = fileURLToPath(new URL('./secrets-main.ts', import.meta.url))
  const env = { ...process.env, TZ: 'UTC' }
  const { stdout } = await promisify(execFile)(process.execPath, [main, `${seed}`], {
    env,
    maxBuffer: 64 * 1024 * 1024,
  })
  return JSON.parse(stdout) as SecretsOutcome
}

const places = [
  'lines',
  'errors',
  'status events',
  'all events',
  'databases',
  "the node's data",
] as const

const keys = [
  'vault key',
  'random key',
  'derived key',
  'identity',
  'key pair',
  'prekey secret',
  'sealing secret',
]
const sessions = ['session', 'session that sent', 'session that received']
const names = ['address', 'address in bytes', 'installation']

/** What may not lie there: events tell the application what its messages say, a node knows who has which devices. */
const classesIn = (place: (typeof places)[number]): readonly string[] => {
  if (place === "the node's data") return [...keys, 'plaintext']
  if (place === 'all events') return [...keys, ...sessions]
  return [...keys, ...sessions, 'plaintext', ...names]
}

test(`no key, plaintext or address leaves a simulation of seed ${firstSeed()}`, async () => {
  const { problems, clumsyErrors, leaks, planted } = await search(firstSeed())
  console.log(JSON.stringify(leaks.looked))
  expect(problems).toEqual([])

  // The same search finds what was planted: every class in every place that it is looked for in.
  const has = (place: string, name: string) =>
    planted.found.some((found) => found.startsWith(`${place}: ${name} `))
  const missing = places.flatMap((place) =>
    classesIn(place)
      .filter((name) => !has(place, name))
      .map((name) => `${place}: ${name}`),
  )
  expect(missing).toEqual([])

  expect(leaks.found).toEqual([])
  for (const place of places) expect(leaks.looked[`bytes of ${place}`]).toBeGreaterThan(1_000)
  expect(leaks.looked.keys).toBeGreaterThan(1_000)
  expect(leaks.looked.sessions).toBeGreaterThan(100)
  expect(leaks.looked.plaintexts).toBeGreaterThan(50)
  expect(leaks.looked.names).toBeGreaterThan(10)
  expect(clumsyErrors).toBeGreaterThan(20)
}, 600_000)
