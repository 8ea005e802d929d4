/**
 * The long run of bad envelopes: `node scripts/fuzz-inbox.ts --envelopes 1000000 --seed 1` puts that many through
 * the receive path of one client and reports what became of them. It ends with 1 on any fault: an exception, a
 * store over its bound, a friend's message that is missing, or memory that grows.
 */
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { InboxCampaign } from '../tests/fuzz/inbox/campaign.ts'

const { values } = parseArgs({
  options: {
    envelopes: { type: 'string', default: '100000' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
  },
})

const readCount = (name: 'envelopes' | 'seed'): number => {
  const text = values[name]
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} needs a number, not "${text}"`)
  return Number(text)
}

const seed = readCount('seed')
const envelopes = readCount('envelopes')

const steps = 20
/** By then every store has been filled. */
const warmUpSteps = 5
/** MiB, in a run of a million: digests of what was decrypted are kept, and messages of a friend. */
const allowedGrowth = 64

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')
/** MiB that are in use once garbage is collected: of the heap, and of buffers. */
const memory = (): number => {
  if (typeof collect === 'function') collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return Math.round((heapUsed + arrayBuffers) / 2 ** 20)
}

const campaign = await InboxCampaign.begin(seed)
console.log(`seed ${seed}, ${envelopes} envelopes, ${memory()} MiB at the start`)
const sizes: number[] = []
const each = Math.ceil(envelopes / steps)
for (let done = 0; done < envelopes && campaign.faults.length === 0; done += each) {
  const beganMs = performance.now()
  const count = Math.min(each, envelopes - done)
  await campaign.run(count)
  const rate = (count / (performance.now() - beganMs)) * 1_000
  const rows = [...(await campaign.check())].filter(([, count]) => count > 0)
  sizes.push(memory())
  console.log(
    `${done + count} taken, ${Math.round(rate)} a second, ${sizes.at(-1)} MiB, ` +
      rows.map(([store, count]) => `${count} ${store}`).join(', '),
  )
}

const faults = [...campaign.faults]
const growth = Math.max(...sizes.slice(-3)) - Math.max(...sizes.slice(0, warmUpSteps))
if (sizes.length === steps && growth > allowedGrowth) faults.push(`grew by ${growth} MiB`)

for (const [kind, count] of campaign.kinds) console.log(`${String(count).padStart(9)}  ${kind}`)
for (const [outcome, count] of campaign.outcomes) {
  console.log(`${String(count).padStart(9)}  ${outcome}`)
}
for (const fault of faults.slice(0, 100)) console.log(`FAULT ${fault}`)
console.log(faults.length === 0 ? 'no faults' : `${faults.length} faults`)
await campaign.close()
process.exitCode = faults.length === 0 ? 0 : 1
