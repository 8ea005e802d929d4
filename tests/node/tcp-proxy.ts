/** A network between two processes that can be cut, delayed, or swallow what is sent. */
import net from 'node:net'

export type Network = 'whole' | 'cut' | 'black hole' | { readonly delayMs: number }

export class TcpProxy {
  readonly #target: { readonly host: string; readonly port: number }
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  #network: Network = 'whole'
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
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
    from.on('data', (bytes: Buffer) => {
      const network = this.#network
      if (network === 'black hole' || to.destroyed) return
      if (isAnswer && this.#isWithheld(bytes)) return
      if (typeof network === 'object') setTimeout(() => to.write(bytes), network.delayMs)
      else to.write(bytes)
    })
    from.on('end', () => to.end())
  }
}
