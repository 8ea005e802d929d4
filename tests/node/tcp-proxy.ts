/** A network between two processes that can be cut, delayed, stand still, or swallow what is sent. */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What is sent while it is stalled arrives later, as TCP has it; a black hole swallows it for good. */
export type Network = 'whole' | 'cut' | 'stalled' | 'black hole' | { readonly delayMs: number }

export class TcpProxy {
  readonly #target: { readonly host: string; readonly port: number }
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  #network: Network = 'whole'
  #moved = Promise.withResolvers<void>()
  #withheld: number | undefined

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target
    this.#server = net.createServer((socket) => this.#take(socket))
  }

  static async start(target: URL): Promise<TcpProxy> {
    const proxy = new TcpProxy({ host: target.hostname, port: Number(target.port) })
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** The same URL, through the proxy. */
  through(url: string): string {
    const changed = new URL(url)
    changed.hostname = '127.0.0.1'
    changed.port = `${this.port}`
    return changed.href
  }

  /** From now on. What is cut is cut at once; a black hole says nothing to anybody. */
  become(network: Network): void {
    this.#network = network
    this.#moved.resolve()
    this.#moved = Promise.withResolvers()
    if (network === 'cut') for (const socket of this.#sockets) socket.destroy()
  }

  /** Keeps messages of this type, as PostgreSQL names them, from its clients. */
  withhold(type: string): void {
    this.#withheld = type.charCodeAt(0)
  }

  async close(): Promise<void> {
    this.become('cut')
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(near: net.Socket): void {
    if (this.#network === 'cut') {
      near.destroy()
      return
    }
    const far = net.connect(this.#target)
    this.#pass(near, far, false)
    this.#pass(far, near, true)
  }

  // A notification comes alone: the server sends it to a session that asks nothing.
  #isWithheld(bytes: Buffer): boolean {
    return this.#withheld !== undefined && bytes[0] === this.#withheld
  }

  #pass(from: net.Socket, to: net.Socket, isAnswer: boolean): void {
    this.#sockets.add(from)
    from.setNoDelay(true)
    from.on('error', () => {})
    // In the order in which it came, whatever the network is by then.
    let before: Promise<unknown> = Promise.resolve()
    const inOrder = (step: () => void) => {
      before = before.then(step)
    }
    from.on('close', () => {
      this.#sockets.delete(from)
      inOrder(() => to.destroy())
    })
    from.on('data', (bytes: Buffer) => {
      const network = this.#network
      if (network === 'black hole' || to.destroyed) return
      if (isAnswer && this.#isWithheld(bytes)) return
      const arrived = this.#arrival(network)
      before = before.then(() => arrived)
      inOrder(() => {
        if (!to.destroyed) to.write(bytes)
      })
    })
    from.on('end', () => inOrder(() => to.end()))
  }

  async #arrival(network: Network): Promise<void> {
    if (typeof network === 'object') await sleep(network.delayMs)
    while (this.#network === 'stalled') await this.#moved.promise
  }
}
