/** What devices show in the morning, and what is counted about it. */
import type { Message } from '../../src/engine/model.ts'
import type { Device } from './device.ts'

export interface Figures {
  /** Messages that the node has. */
  readonly sent: number
  /** Pairs of a message and an installation that had to have it. */
  readonly deliveries: number
  /** Pairs whose installation came while the message was under way. */
  readonly owed: number
  /** Pairs with a device that was put back to an older copy of itself: had. */
  readonly otherKept: number
  /** The same, and not had. */
  readonly otherMissing: number
}

/** What each device shows. */
export type Shown = ReadonlyMap<Device, readonly Message[]>

/** A message's order begins with the node's time; all ones while it is pending. */
export const nodeNsOf = ({ order }: Message): bigint => BigInt(`0x${order.slice(0, 16)}`)
