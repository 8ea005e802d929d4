/**
 * The long run of bad input: `node scripts/fuzz.ts --requests 100000 --seed 1` sends that many good
 * and bad requests to its own node and reports what held and what did not. With `--first N` and
 * `--requests 1` it repeats one request, with `--show` it prints it. `--store postgres` takes that store. It ends
 * with 1 on any fault.
 */
import { parseArgs } from 'node:util'
import { Campaign } from '../tests/fuzz/campaign.ts'
import { faultsInOutput, startFuzzNode } from '../tests/fuzz/fuzz-node.ts'
import { canary } from '../tests/fuzz/samples.ts'
import { ensurePostgres } from './postgres.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    first: { type: 'string', default: '0' },
    concurrency: { type: 'string', default: '12' },
    store: { type: 'string', default: 'sqlite' },
    show: { type: 'boolean', default: false },
  },
})

const readCount = (name: 'requests' | 'seed' | 'first' | 'concurrency'): number => {
  const text = values[name]
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} needs a number, not "${text}"`)
  return Number(text)
}

const seed = readCount('seed')
const first = readCount('first')
const requests = readCount('requests')
const concurrency = readCount('concurrency')

/** After the first tenth a node has seen every kind of request; growth from then on is a leak. */
const steps = 10
/** MiB: bodies of 25 MiB come and go, a dozen at a time. */
const allowedGrowth = 256

const postgres = values.store === 'postgres' ? await ensurePostgres() : undefined
const node = await startFuzzNode(
  postgres === undefined ? {} : { database: await postgres.createDatabase() },
)
const campaign = await Campaign.begin(node, seed)
console.log(`seed ${seed}, ${requests} requests, ${node.memory()} MiB at the start`)

if (values.show) {
  const made = await campaign.make(first)
  console.dir('call' in made ? made.call : made.raw, { depth: 4 })
}

const memory: number[] = []
const each = Math.ceil(requests / steps)
for (let done = 0; done < requests && node.alive; done += each) {
  const count = Math.min(each, requests - done)
  const rate = await campaign.run({ first: first + done, requests: count, concurrency })
  memory.push(node.alive ? node.memory() : Number.NaN)
  console.log(
    `${done + count} sent, ${Math.round(rate)} requests/s, ${memory.at(-1)} MiB, ` +
      `${campaign.faults.length} faults, slowest ${campaign.slowest.ms} ms (${campaign.slowest.what})`,
  )
}

const faults = [...campaign.faults]
if (node.alive) {
  const { stored } = await campaign.compare()
  console.log(`${stored} envelopes stored, each of them acknowledged`)
  faults.splice(0, faults.length, ...campaign.faults)
}
// The first tenth, however small, sets the size; in a short run this says little.
const growth = Math.max(...memory.slice(-3)) - Math.max(...memory.slice(0, 3))
if (memory.length === steps && growth > allowedGrowth) faults.push(`grew by ${growth} MiB`)
faults.push(...faultsInOutput(node.output, [canary]))

for (const [ending, count] of [...campaign.endings].sort(([, a], [, b]) => b - a)) {
  console.log(`${String(count).padStart(8)}  ${ending}`)
}
for (const fault of faults.slice(0, 100)) console.log(`FAULT ${fault}`)
console.log(faults.length === 0 ? 'no faults' : `${faults.length} faults`)
campaign.close()
await node.close()
await postgres?.close()
process.exitCode = faults.length === 0 ? 0 : 1
