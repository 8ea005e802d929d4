/**
 * The long siege: strangers do their worst to a node of its own, and its memory is watched.
 *
 *     node scripts/siege.ts --minutes 10 --callers 200
 *     node scripts/siege.ts --store postgres --memory 2GiB
 *
 * It ends with 1 if the node ended, took more memory than it may, or served an honest caller badly.
 */
import { parseArgs } from 'node:util'
import { readSize } from '../node/src/options/kinds.ts'
import { faultsInOutput } from '../tests/fuzz/fuzz-node.ts'
import { besiege } from '../tests/fuzz/siege.ts'
import { ensurePostgres } from './postgres.ts'

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '10' },
    memory: { type: 'string', default: '1GiB' },
    store: { type: 'string', default: 'sqlite' },
  },
})

const readNumber = (name: 'callers' | 'minutes'): number => {
  const text = values[name]
  if (!/^\d{1,5}(?:\.\d+)?$/.test(text)) throw new Error(`--${name} needs a number, not "${text}"`)
  return Number(text)
}

const memory = readSize(values.memory)
if (memory === undefined)
  throw new Error(`--memory needs a size such as 1GiB, not "${values.memory}"`)
const postgres = values.store === 'postgres' ? await ensurePostgres() : undefined
const { startMiB, peakMiB, turnsMs, failed, node } = await besiege({
  callers: readNumber('callers'),
  seconds: readNumber('minutes') * 60,
  args: ['--memory', values.memory],
  ...(postgres !== undefined && { database: await postgres.createDatabase() }),
  log: (line) => console.log(line),
})
const faults = faultsInOutput(node.output, [])
if (!node.alive) faults.push('the node ended')
if (peakMiB > memory / 1024 ** 2) faults.push(`it took ${peakMiB} MiB`)
if (failed > turnsMs.length / 10) faults.push(`${failed} turns of an honest caller failed`)
console.log(`${startMiB} MiB at the start, ${peakMiB} MiB at most`)
const at = (part: number): number => Math.round(turnsMs[Math.floor(turnsMs.length * part)] ?? 0)
console.log(
  `an honest caller: ${turnsMs.length} turns, half within ${at(0.5)} ms, nine in ten within ${at(0.9)} ms, ${failed} failed`,
)
for (const fault of faults) console.log(`FAULT ${fault}`)
await node.close()
await postgres?.close()
process.exitCode = faults.length === 0 ? 0 : 1
