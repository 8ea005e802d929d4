/**
 * The long run of bad input: `node scripts/fuzz.ts --requests 100000 --seed 1` sends that many good
 * and bad requests to its own node and reports what held and what did not. With `--first N` and
 * `--requests 1` it repeats one request, with `--show` it prints it. `--store postgres` takes that store. After each
 * part of the run it takes the sizes of the node's process; growth after the first third is a fault, where there are
 * enough requests to tell (`--requests 1000` and more). It ends with 1 on any fault.
 */
import { parseArgs } from 'node:util'
import { Campaign } from '../tests/fuzz/campaign.ts'
import { faultsInOutput, startFuzzNode } from '../tests/fuzz/fuzz-node.ts'
import { growthFaults, growthOf, type Size } from '../tests/fuzz/growth.ts'
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

const steps = 20
/** A node has not seen every kind of request in fewer, and is not warm. */
const tellsGrowth = requests >= 1_000

if (values.store !== 'sqlite' && values.store !== 'postgres') {
  throw new Error(`--store needs sqlite or postgres, not "${values.store}"`)
}
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

const sizes: Size[] = []
let shown = 0
let peak = 0
const each = Math.ceil(requests / steps)
for (let done = 0; done < requests && node.alive; done += each) {
  const count = Math.min(each, requests - done)
  const rate = await campaign.run({ first: first + done, requests: count, concurrency })
  // As they come: some begin with one request, and many follow.
  for (const fault of campaign.faults.slice(shown, 20)) console.log(`FAULT ${fault}`)
  shown = campaign.faults.length
  if (!node.alive) break
  // Before garbage is collected.
  peak = Math.max(peak, node.memory())
  const size = { held: await node.held(), resident: node.memory() }
  sizes.push(size)
  console.log(
    `${done + count} sent, ${Math.round(rate)} requests/s, ${size.held} MiB held, ${size.resident} MiB resident, ` +
      `${campaign.faults.length} faults, slowest ${campaign.slowest.ms} ms (${campaign.slowest.what})`,
  )
}

if (node.alive) {
  const { stored } = await campaign.compare()
  console.log(`${stored} envelopes stored, each of them acknowledged`)
}
const faults = [...campaign.faults]
if (tellsGrowth) {
  console.log(
    `after the first third: ${growthOf(sizes, 'held')} MiB more held, ` +
      `${growthOf(sizes, 'resident')} MiB more resident; at most ${peak} MiB`,
  )
  faults.push(...growthFaults(sizes))
}
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
