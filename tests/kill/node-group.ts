/**
 * Node processes on one store, each on a port that it keeps: killed, started, and distinguished.
 */
import { freePort } from '../../scripts/free-port.ts'
import { TcpProxy } from '../node/tcp-proxy.ts'
import { type SpawnedNode, spawnNode } from '../support/node-process.ts'
import type { Ledger } from './ledger.ts'

export interface NodeGroupOptions {
  /** How many processes. */
  readonly size: number
  /** What each is started with: where the store is, for this one. */
  readonly args: (index: number) => readonly string[]
  /** Another entry than the sources: a built or a broken one. */
  readonly main?: string
}

export class NodeGroup {
  /** Where clients find them. */
  readonly urls: readonly string[]
  /** What lies between clients and each of them. */
  readonly networks: readonly TcpProxy[]
  readonly #ports: readonly number[]
  readonly #options: NodeGroupOptions
  readonly #ledger: Ledger
  readonly #nodes = new Map<number, SpawnedNode>()
  readonly #up = new Set<number>()
  #someUp = Promise.withResolvers<void>()

  private constructor(
    options: NodeGroupOptions,
    ports: readonly number[],
    networks: readonly TcpProxy[],
    ledger: Ledger,
  ) {
    this.#options = options
    this.#ports = ports
    this.#ledger = ledger
    this.networks = networks
    this.urls = networks.map(({ port }) => `http://127.0.0.1:${port}`)
  }

  /** All of them, started and listening. */
  static async start(options: NodeGroupOptions, ledger: Ledger): Promise<NodeGroup> {
    const ports = await Promise.all(Array.from({ length: options.size }, freePort))
    const urls = ports.map((port) => new URL(`http://127.0.0.1:${port}`))
    const networks = await Promise.all(urls.map((url) => TcpProxy.start(url)))
    const group = new NodeGroup(options, ports, networks, ledger)
    await Promise.all(ports.map((_, index) => group.start(index)))
    return group
  }

  isUp(index: number): boolean {
    return this.#up.has(index)
  }

  /** Waits while none of them listens. */
  async untilSomeUp(): Promise<void> {
    while (this.#up.size === 0) await this.#someUp.promise
  }

  /** Begins to start one; `listening` resolves when it does, rejects if it ends first. */
  launch(index: number): SpawnedNode {
    const port = this.#ports[index]
    const node = spawnNode([...this.#options.args(index), '--port', `${port}`], this.#options)
    this.#nodes.set(index, node)
    void node.ended.then((code) => {
      if (this.#nodes.get(index) !== node) return
      this.#down(index)
      this.#ledger.report(`node ${index} ended by itself with ${code}: ${node.errors()}`)
    })
    return node
  }

  async start(index: number): Promise<void> {
    await this.launch(index).listening
    this.#up.add(index)
    this.#someUp.resolve()
  }

  kill(index: number): Promise<void> {
    return this.#end(index, 'SIGKILL')
  }

  /** The orderly end. */
  stop(index: number): Promise<void> {
    return this.#end(index, 'SIGTERM')
  }

  async close(): Promise<void> {
    await Promise.all(this.#ports.map((_, index) => this.kill(index)))
    await Promise.all(this.networks.map((network) => network.close()))
  }

  async #end(index: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const node = this.#nodes.get(index)
    this.#nodes.delete(index)
    this.#down(index)
    if (node === undefined) return
    node.child.kill(signal)
    const code = await node.ended
    if (signal === 'SIGTERM' && code !== 0)
      this.#ledger.report(`node ${index} stopped with ${code}`)
  }

  #down(index: number): void {
    // Whoever waits already goes on waiting for the same.
    const wasUp = this.#up.delete(index)
    if (wasUp && this.#up.size === 0) this.#someUp = Promise.withResolvers()
  }
}
