/** When each message came to the application of each device, in virtual time: read as a bot reads. */
import { parseAddress } from '../../src/protocol/ids.ts'
import type { Device } from './device.ts'
import type { World } from './world.ts'

const never = new AbortController().signal

export class Arrivals {
  readonly #world: World
  readonly #cursors = new Map<Device, string>()
  readonly #at = new Map<string, number>()
  readonly #openedMs = new Map<Device, number[]>()

  constructor(world: World) {
    this.#world = world
  }

  /** Opens the program of a device and reads all that comes to it until it ends. */
  async open(device: Device): Promise<void> {
    const { time } = this.#world
    const opened = this.#openedMs.get(device) ?? []
    this.#openedMs.set(device, [...opened, time.nowMs])
    await device.open()
    const { engine } = device
    if (!engine) return
    try {
      while (device.engine === engine) {
        const after = this.#cursors.get(device) ?? '0'
        const page = await engine.nextMessages(after, undefined, never)
        for (const { content, sender } of page.messages) this.#arrived(device, sender, content)
        this.#cursors.set(device, page.cursor)
      }
    } catch (error) {
      // It was closed while it waited for more.
      if (device.engine === engine) throw error
    }
  }

  #arrived(device: Device, sender: string, content: string | undefined): void {
    const { time, crowd, journal } = this.#world
    const address = parseAddress(sender)
    if (content === undefined || (address.ok && crowd?.has(address.value))) return
    const key = keyOf(device, content)
    if (this.#at.has(key)) journal.problem(`${device.name} is told of ${content} twice`)
    this.#at.set(key, time.nowMs)
  }

  /** How long a message took, from when the device was there to get it; undefined if it never came. */
  of(
    device: Device,
    text: string,
    sentMs: number,
  ): { readonly delayMs: number; readonly wasAway: boolean } | undefined {
    const at = this.#at.get(keyOf(device, text))
    if (at === undefined) return undefined
    const openedMs = (this.#openedMs.get(device) ?? []).findLast((ms) => ms <= at) ?? 0
    return { delayMs: at - Math.max(sentMs, openedMs), wasAway: sentMs < openedMs }
  }
}

const keyOf = (device: Device, text: string): string => `${text}, on ${device.name}`
