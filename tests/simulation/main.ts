/**
 * The process of one seed: `node main.ts <seed> [--verbose] [--strangers <share>] [--days <number>]`; its
 * last line is the outcome as JSON.
 */
import { parseArgs } from 'node:util'
import { run } from './run.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    verbose: { type: 'boolean', default: false },
    strangers: { type: 'string' },
    days: { type: 'string' },
  },
})
const outcome = await run({
  seed: Number(positionals[0]),
  ...(values.verbose ? { listen: (line: string) => console.log(line) } : {}),
  ...(values.strangers === undefined ? {} : { strangers: Number(values.strangers) }),
  ...(values.days === undefined ? {} : { days: Number(values.days) }),
})
console.log(JSON.stringify(outcome))
process.exit(0)
