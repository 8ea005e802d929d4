/** Where the node spends its time while envelopes are published, in microseconds per envelope. */
import { type Stage, startServer } from './stage.ts'

const loads = [
  { callers: 16, batch: 20 },
  { callers: 64, batch: 1 },
]
const longest = 25

export async function printProfile(stage: Stage, seconds: number): Promise<void> {
  for (const load of loads) await profileOne(stage, seconds, load)
}

async function profileOne(
  stage: Stage,
  seconds: number,
  load: { readonly callers: number; readonly batch: number },
): Promise<void> {
  const server = await startServer(stage.source)
  const { clients } = stage
  const task = { port: server.port, ...load }
  await clients.call('publish', { ...task, seconds: 2 })
  await clients.call('arm', undefined)
  const running = clients.call('publish', { ...task, seconds })
  await clients.call('untilBegun', undefined)
  await server.child.call('beginProfile', undefined)
  const { perSecond } = await running
  const threads = await server.child.call('finishProfile', undefined)
  await server.close()
  console.log(
    `\n${stage.kind}: ${load.callers} callers, batches of ${load.batch}, ${perSecond.toFixed(0)} envelopes/s`,
  )
  const envelopes = perSecond * seconds
  const print = (list: readonly (readonly [string, number])[]): void => {
    for (const [name, ms] of list) {
      console.log(`${((ms * 1_000) / envelopes).toFixed(2).padStart(7)}  ${name}`)
    }
  }
  for (const { thread, owners, functions } of threads) {
    console.log(`\n${thread} thread, µs an envelope, by whose work it is`)
    print(owners.slice(0, 15))
    console.log(`\n${thread} thread, µs an envelope, by function`)
    print(functions.slice(0, longest))
  }
}
