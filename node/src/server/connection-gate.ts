/** Bounds the open connections, in all and by caller. */
import type { Socket } from 'node:net'
import { FairPlaces } from '../limits/fair-places.ts'
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
  readonly #places: FairPlaces<Socket>
  readonly #byCaller: CallerCounts
  #refused = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#places = new FairPlaces(limits.total, (socket) => {
      this.#refused += 1
      socket.destroy()
    })
    this.#byCaller = new CallerCounts(limits.perCaller, networkTimes)
  }

  /** How many are open. */
  get size(): number {
    return this.#sockets.size
  }

  /** How many were refused since the start, or ended for one of somebody else. */
  get refused(): number {
    return this.#refused
  }

  /**
   * Counts the connection until it closes. One too many is closed at once, and the result is false. If all
   * places are taken, whoever holds most loses one.
   */
  admit(socket: Socket): boolean {
    const caller = callerAt(socket.remoteAddress)
    const { exempt, isProxy } = this.#limits
    const isOver =
      this.#byCaller.isOver(caller, 1) && !exempt(caller) && !isProxy(socket.remoteAddress)
    if (isOver || !this.#places.take(caller, socket)) {
      this.#refused += 1
      socket.destroy()
      return false
    }
    this.#sockets.add(socket)
    this.#byCaller.add(caller, 1)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#places.release(caller, socket)
      this.#byCaller.add(caller, -1)
    })
    return true
  }

  /** Cuts all of them. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
