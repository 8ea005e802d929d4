/** Bounds the open connections, in all and by caller. */
import type { Socket } from 'node:net'
import { CallerCounts } from '../limits/networks.ts'
import { callerAt } from './caller.ts'

export interface ConnectionLimits {
  readonly total: number
  readonly perCaller: number
  /** Callers whose connections count only in all. */
  readonly exempt: (caller: string) => boolean
  /** Addresses whose connections count only in all: they are many callers'. */
  readonly isProxy: (address: string | undefined) => boolean
}

/** How many more connections than a caller its network may have. */
const networkTimes = 8

export class ConnectionGate {
  readonly #limits: ConnectionLimits
  readonly #sockets = new Set<Socket>()
  readonly #byCaller: CallerCounts
  #refused = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#byCaller = new CallerCounts(limits.perCaller, networkTimes)
  }

  /** How many are open. */
  get size(): number {
    return this.#sockets.size
  }

  /** How many were refused since the start. */
  get refused(): number {
    return this.#refused
  }

  /**
   * Counts the connection until it closes. One too many is closed at once, and the result is false.
   */
  admit(socket: Socket): boolean {
    const caller = callerAt(socket.remoteAddress)
    const { total, exempt, isProxy } = this.#limits
    const isFull =
      this.#byCaller.isOver(caller, 1) && !exempt(caller) && !isProxy(socket.remoteAddress)
    if (this.#sockets.size >= total || isFull) {
      this.#refused += 1
      socket.destroy()
      return false
    }
    this.#sockets.add(socket)
    this.#byCaller.add(caller, 1)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#byCaller.add(caller, -1)
    })
    return true
  }

  /** Cuts all of them. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
