/**
 * A bad day: people write to each other from several devices while devices crash, come and go, clocks
 * are wrong, and the node is hard to reach. Then a quiet night, after which everything must be settled.
 */
import type { Device } from './device.ts'
import type { Person } from './people.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

export interface ScenarioOptions {
  readonly dayMs: number
  readonly nightMs: number
}

export const defaultScenario: ScenarioOptions = { dayMs: 2 * hourMs, nightMs: 3 * hourMs }

/** A message that someone was asked to send. */
export interface Sent {
  readonly text: string
  readonly from: Device
  readonly to: Person
  /** Virtual time of the call. */
  readonly atMs: number
  /** Its id, if the call came back: then it is stored, whatever happens later. */
  id: string | undefined
}

const maxDevices = 3

export const liveThrough = async (
  world: World,
  options: ScenarioOptions,
): Promise<readonly Sent[]> => {
  const day = new Day(world, options)
  await day.pass()
  await passNight(world, options)
  return day.sent
}

/** What is told of a promise that nobody waits for. */
const start = (world: World, work: Promise<unknown>): void => {
  work.catch((error: unknown) => {
    world.journal.problem(error instanceof Error ? (error.stack ?? error.message) : String(error))
  })
}

class Day {
  readonly sent: Sent[] = []
  readonly #world: World
  readonly #endMs: number
  readonly #random: Random

  constructor(world: World, { dayMs }: ScenarioOptions) {
    this.#world = world
    this.#endMs = world.time.nowMs + dayMs
    this.#random = world.random('day')
  }

  async pass(): Promise<void> {
    const { people } = this.#world
    const loops = [
      this.#every(90_000, () => this.#talk()),
      this.#every(25 * minuteMs, () => this.#addSomeDevice()),
      this.#every(50 * minuteMs, () => this.#revokeSomeDevice()),
      this.#every(40 * minuteMs, () => this.#world.restartNode(this.#random.wait(2 * minuteMs))),
    ]
    for (const [at, person] of people.entries()) {
      // The last one comes late: messages wait for an account without installations.
      const comesMs = at === people.length - 1 ? this.#random.wait(40 * minuteMs) : 0
      loops.push(this.#arrive(person, comesMs))
    }
    await Promise.all(loops)
  }

  async #arrive(person: Person, afterMs: number): Promise<void> {
    await this.#world.time.sleep(afterMs)
    this.#addDevice(person)
  }

  /** Until the day is over. */
  async #every(meanMs: number, act: () => unknown): Promise<void> {
    const { time } = this.#world
    // Each its own chance, so that one kind of event does not depend on another's times.
    for (;;) {
      const nextMs = time.nowMs + this.#random.wait(meanMs)
      await time.sleep(Math.min(nextMs, this.#endMs) - time.nowMs)
      if (nextMs >= this.#endMs) return
      const result = act()
      if (result instanceof Promise) start(this.#world, result)
    }
  }

  #addDevice(person: Person): void {
    const { journal, chaos } = this.#world
    const device = this.#world.addDevice(person)
    journal.note(`${device.name}: new`)
    if (this.#random.chance(0.5)) device.clockAheadMs = chaos.clockAheadMs()
    start(this.#world, device.open())
    const loops = [
      this.#every(6 * minuteMs, () => device.weather.change()),
      this.#every(2 * minuteMs, () => device.open()),
      this.#every(12 * minuteMs, () => this.#mishap(device)),
    ]
    for (const loop of loops) start(this.#world, loop)
  }

  #mishap(device: Device): unknown {
    switch (this.#random.below(6)) {
      case 0:
        return device.kill()
      case 1:
        return device.close()
      case 2:
        return device.takeOver()
      case 3:
        device.clockAheadMs = this.#world.chaos.clockAheadMs()
        return undefined
      case 4:
        return device.comeOnline()
      default:
        return undefined
    }
  }

  #talk(): void {
    const from = this.#writers()
    if (from.length === 0) return
    const device = this.#random.pick(from)
    const to = this.#random.pick(this.#world.people)
    const count = this.#random.chance(0.2) ? this.#random.between(2, 8) : 1
    for (let nth = 0; nth < count; nth += 1) start(this.#world, this.#send(device, to))
  }

  #writers(): readonly Device[] {
    return this.#world.devices.filter((device) => device.isOpen && !device.isRevoked)
  }

  async #send(from: Device, to: Person): Promise<void> {
    const { journal, time } = this.#world
    const text = `m${this.sent.length + 1} from ${from.name} to ${to.name}`
    const sent: Sent = { text, from, to, atMs: time.nowMs, id: undefined }
    this.sent.push(sent)
    journal.note(`${from.name}: sends ${text}`)
    sent.id = (await from.send(to, text))?.id
  }

  #addSomeDevice(): void {
    const here = this.#world.people.filter((person) => {
      const count = this.#devicesOf(person).length
      return count > 0 && count < maxDevices
    })
    if (here.length > 0) this.#addDevice(this.#random.pick(here))
  }

  #devicesOf(person: Person): readonly Device[] {
    return this.#world.devices.filter((device) => device.person === person && !device.isRevoked)
  }

  async #revokeSomeDevice(): Promise<void> {
    const person = this.#random.pick(this.#world.people)
    const known = this.#devicesOf(person).filter(({ installationId }) => installationId)
    if (known.length < 2) return
    const device = this.#random.pick(known)
    await this.#world.revoke(device)
  }
}

/** All faults are off. */
const passNight = async (world: World, { nightMs }: ScenarioOptions): Promise<void> => {
  const { time, journal, chaos, devices } = world
  journal.note('night')
  chaos.calm()
  for (const device of devices) {
    device.spare()
    device.weather.settle()
  }
  const endMs = time.nowMs + nightMs
  while (time.nowMs < endMs) {
    for (const device of devices) start(world, device.open())
    await time.sleep(5 * minuteMs)
  }
}
