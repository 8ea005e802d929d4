/** The process of one seed: `node main.ts <seed> [--verbose]`; its last line is the outcome as JSON. */
import { run } from './run.ts'

const [seed = '', verbose] = process.argv.slice(2)
const outcome = await run({
  seed: Number(seed),
  ...(verbose === '--verbose' ? { listen: (line: string) => console.log(line) } : {}),
})
console.log(JSON.stringify(outcome))
process.exit(0)
