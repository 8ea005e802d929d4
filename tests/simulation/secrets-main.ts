/**
 * The process of the search for leaks: `node secrets-main.ts <seed>`. Lives through a seed with everything
 * collected, searches it, plants secrets everywhere and searches again; prints both reports as JSON.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dumpDatabases } from '../store/dump.ts'
import { beClumsy } from './clumsiness.ts'
import { Evidence } from './evidence.ts'
import { type LeakReport, searchForLeaks } from './leaks.ts'
import { plantSecrets } from './planting.ts'
import { run } from './run.ts'
import type { World } from './world.ts'

export interface SecretsOutcome {
  readonly problems: readonly string[]
  /** Calls of a clumsy application that failed. */
  readonly clumsyErrors: number
  readonly leaks: LeakReport
  /** After a secret of each kind was put everywhere. */
  readonly planted: LeakReport
}

const evidence = new Evidence()
const folder = mkdtempSync(join(tmpdir(), 'padlock-secrets-'))
const nodeFile = join(folder, 'node.sqlite')

for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
  console[level] = (...values: unknown[]) => evidence.addText('lines', values.map(String).join(' '))
}

/** What only the installations themselves can tell. */
const collectNames = async ({ people, devices }: World): Promise<void> => {
  const { secrets } = evidence
  for (const { address } of people) secrets.addAddress(address)
  for (const { installationId, engine } of devices) {
    if (installationId !== undefined) secrets.addInstallation(installationId)
    for (const { id } of (await engine?.conversations()) ?? []) {
      for (const { content } of (await engine?.history(id, undefined, 500)) ?? []) {
        if (content !== undefined) secrets.addPlaintext(content)
      }
    }
  }
}

const collectStored = async (): Promise<void> => {
  evidence.addBytes('databases', await dumpDatabases())
  evidence.addBytes("the node's data", readFileSync(nodeFile))
}

let clumsyErrors = 0
let leaks: LeakReport | undefined
let planted: LeakReport | undefined
let database = ''
const { problems } = await run({
  seed: Number(process.argv[2]),
  evidence,
  nodeFile,
  whileOpen: async (world) => {
    await collectNames(world)
    const pasted = 'words that someone pasted into the wrong field'
    evidence.secrets.addPlaintext(pasted)
    for (const device of world.devices) {
      clumsyErrors += await beClumsy(device, pasted, evidence)
      database = device.database
    }
  },
  afterwards: async () => {
    await collectStored()
    leaks = searchForLeaks(evidence)
    await plantSecrets(evidence, database, nodeFile)
    await collectStored()
    planted = searchForLeaks(evidence)
  },
})
rmSync(folder, { recursive: true })
if (!leaks || !planted) throw new Error('nothing was searched')
const outcome: SecretsOutcome = { problems, clumsyErrors, leaks, planted }
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0))
