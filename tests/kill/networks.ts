/**
 * What fails between the processes of a kill test: between clients and one node, between one node and its
 * database, or between all nodes and it. It is slow, stands still, swallows everything, or is cut.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Network, TcpProxy } from '../node/tcp-proxy.ts'
import type { Random } from './caller.ts'
import type { NodeGroup } from './node-group.ts'

const places = ['clients and a node', 'a node and the database', 'all nodes and the database']
const failures: readonly (readonly [string, Network])[] = [
  ['slow', { delayMs: 150 }],
  ['silent', 'black hole'],
  ['cut', 'cut'],
  ['stalled', 'stalled'],
]

/**
 * One failure after another, each at the next place, for a time that is shorter than anybody's patience.
 * @returns what failed.
 */
export function failuresOf(
  databases: readonly TcpProxy[],
): (random: Random, nodes: NodeGroup) => Promise<string> {
  let next = 0
  return async (random, nodes) => {
    // Twelve in a row are all there are: three and four have no common divisor.
    const place = next % places.length
    const [name, network] = failures[next % failures.length] ?? ['cut', 'cut']
    next += 1
    const one = random.below(databases.length)
    const between = place === 0 ? nodes.networks : databases
    const failing = place === 2 ? between : between.slice(one, one + 1)
    for (const proxy of failing) proxy.become(network)
    await sleep(500 + random.below(2_000))
    for (const proxy of failing) {
      // Of what lost a part of its bytes, TCP would give no more.
      if (network === 'black hole') proxy.become('cut')
      proxy.become('whole')
    }
    return `networks ${name} between ${places[place]}`
  }
}
