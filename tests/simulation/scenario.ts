/**
 * A bad time: people write to each other from several devices while devices crash, come and go, clocks
 * are wrong, and the node is hard to reach. Then a quiet night, after which everything must be settled.
 */
import type { Device } from './device.ts'
import type { Person } from './people.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const nightMs = 3 * hourMs
const maxDevices = 3

/** How fast things happen, on average. */
interface Pace {
  readonly lengthMs: number
  readonly talkMs: number
  readonly newDeviceMs: number
  readonly revocationMs: number
  readonly nodeRestartMs: number
  readonly weatherMs: number
  readonly mishapMs: number
  readonly litterMs: number
  /** How long a device is away, and stays. */
  readonly awayMs: number
  readonly stayMs: number
}

const busyDay: Pace = {
  lengthMs: 2 * hourMs,
  talkMs: 1.5 * minuteMs,
  newDeviceMs: 25 * minuteMs,
  revocationMs: 35 * minuteMs,
  nodeRestartMs: 40 * minuteMs,
  weatherMs: 6 * minuteMs,
  mishapMs: 12 * minuteMs,
  litterMs: 5 * minuteMs,
  awayMs: 2 * minuteMs,
  stayMs: 8 * hourMs,
}

const season: Pace = {
  lengthMs: 100 * dayMs,
  talkMs: 2 * hourMs,
  newDeviceMs: 12 * dayMs,
  revocationMs: 25 * dayMs,
  nodeRestartMs: 5 * dayMs,
  weatherMs: 30 * minuteMs,
  mishapMs: 10 * hourMs,
  litterMs: 8 * hourMs,
  awayMs: 36 * hourMs,
  stayMs: 25 * minuteMs,
}

/** A message that someone was asked to send. */
export interface Sent {
  readonly text: string
  readonly from: Device
  /** The installation that the device was then. */
  readonly installationId: string
  readonly to: Person
  /** Virtual time of the call. */
  readonly atMs: number
  /** Its id, if the call came back: then it is stored, whatever happens later. */
  id: string | undefined
  /** When the call came back. */
  doneMs: number
}

export const liveThrough = async (world: World): Promise<readonly Sent[]> => {
  const time = new BadTime(world, world.features.isSeason ? season : busyDay)
  await time.pass()
  await passNight(world)
  return time.sent
}

/** What is told of a promise that nobody waits for. */
const start = (world: World, work: Promise<unknown>): void => {
  work.catch((error: unknown) => {
    world.journal.problem(error instanceof Error ? (error.stack ?? error.message) : String(error))
  })
}

class BadTime {
  readonly sent: Sent[] = []
  readonly #world: World
  readonly #pace: Pace
  readonly #endMs: number
  readonly #random: Random

  constructor(world: World, pace: Pace) {
    this.#world = world
    this.#pace = pace
    this.#endMs = world.time.nowMs + pace.lengthMs
    this.#random = world.random('day')
  }

  async pass(): Promise<void> {
    const { people, features } = this.#world
    const pace = this.#pace
    const loops = [
      this.#every(pace.talkMs, () => this.#talk()),
      this.#every(pace.newDeviceMs, () => this.#addSomeDevice()),
      this.#every(pace.revocationMs, () => this.#revokeSomeDevice()),
      this.#every(features.hasNodeRestores ? pace.nodeRestartMs / 3 : pace.nodeRestartMs, () =>
        this.#troubleNode(),
      ),
    ]
    if (features.hasStrangers) loops.push(this.#every(pace.litterMs, () => this.#litter()))
    for (const [at, person] of people.entries()) {
      // The last one comes late: messages wait for an account without installations.
      const comesMs = at === people.length - 1 ? this.#random.wait(pace.lengthMs / 3) : 0
      loops.push(this.#arrive(person, comesMs))
    }
    await Promise.all(loops)
  }

  async #arrive(person: Person, afterMs: number): Promise<void> {
    await this.#world.time.sleep(Math.min(afterMs, this.#endMs - this.#world.time.nowMs))
    this.#addDevice(person)
  }

  /** Until the time is over. */
  async #every(meanMs: number, act: () => unknown): Promise<void> {
    const { time } = this.#world
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
    const loops = [
      this.#comeAndGo(device),
      this.#every(this.#pace.weatherMs, () => {
        if (device.isOpen) device.weather.change()
      }),
      this.#every(this.#pace.mishapMs, () => this.#mishap(device)),
    ]
    for (const loop of loops) start(this.#world, loop)
  }

  /** Its person starts the program again and again, and uses it for a while. */
  async #comeAndGo(device: Device): Promise<void> {
    const { time } = this.#world
    const { awayMs, stayMs } = this.#pace
    while (time.nowMs < this.#endMs) {
      const leavesMs = time.nowMs + this.#random.wait(stayMs)
      while (time.nowMs < Math.min(leavesMs, this.#endMs)) {
        start(this.#world, device.open())
        await time.sleep(Math.min(this.#random.wait(2 * minuteMs), this.#endMs - time.nowMs))
      }
      if (time.nowMs >= this.#endMs) return
      start(this.#world, device.close())
      await time.sleep(Math.min(this.#random.wait(awayMs), this.#endMs - time.nowMs))
    }
  }

  #mishap(device: Device): unknown {
    const { chaos, features } = this.#world
    switch (this.#random.below(8)) {
      case 0:
        return device.kill()
      case 1:
        return device.close()
      case 2:
        return this.#takeOver(device)
      case 3:
        device.clockAheadMs = chaos.clockAheadMs()
        return undefined
      case 4:
        return device.comeOnline()
      case 5:
        if (!device.isGivenUp || device.isRogue) return undefined
        device.renews = true
        return device.close()
      case 6:
        return features.hasRestores ? device.backUp() : undefined
      default:
        return features.hasRestores ? device.restore() : undefined
    }
  }

  /** Two tabs at once, in both of which someone writes. */
  async #takeOver(device: Device): Promise<void> {
    const { time } = this.#world
    start(this.#world, device.takeOver())
    for (let nth = this.#random.between(0, 4); nth > 0; nth -= 1) {
      await time.sleep(this.#random.wait(500))
      if (device.isGivenUp) return
      const to = this.#random.pick(this.#world.people)
      const isStale = this.#random.chance(0.6)
      start(this.#world, this.#send(device, to, isStale))
    }
  }

  #talk(): void {
    const from = this.#world.devices.filter(
      (device) => device.isOpen && (!device.isGivenUp || device.isRogue),
    )
    if (from.length === 0) return
    const device = this.#random.pick(from)
    const to = this.#random.pick(this.#world.people)
    const count = this.#random.chance(0.2) ? this.#random.between(2, 8) : 1
    for (let nth = 0; nth < count; nth += 1) start(this.#world, this.#send(device, to))
  }

  async #send(from: Device, to: Person, isStale = false): Promise<void> {
    const { journal, time } = this.#world
    const { installationId } = from
    if (installationId === undefined) return
    const text = `m${this.sent.length + 1} from ${from.name} to ${to.name}`
    const sent: Sent = {
      text,
      from,
      installationId,
      to,
      atMs: time.nowMs,
      id: undefined,
      doneMs: Number.POSITIVE_INFINITY,
    }
    this.sent.push(sent)
    journal.note(`${from.name}: sends ${text}${isStale ? ' in the old tab' : ''}`)
    const message = isStale ? from.sendFromStaleTab(to, text) : from.send(to, text)
    sent.id = (await message)?.id
    if (sent.id !== undefined) sent.doneMs = time.nowMs
  }

  #addSomeDevice(): void {
    const here = this.#world.people.filter((person) => {
      const count = this.#devicesOf(person).length
      return count > 0 && count < maxDevices
    })
    if (here.length > 0) this.#addDevice(this.#random.pick(here))
  }

  #devicesOf(person: Person): readonly Device[] {
    return this.#world.devices.filter((device) => device.person === person && !device.isGivenUp)
  }

  async #revokeSomeDevice(): Promise<void> {
    const person = this.#random.pick(this.#world.people)
    const known = this.#devicesOf(person).filter(({ installationId }) => installationId)
    if (known.length < 2) return
    const device = this.#random.pick(known)
    const others = known.filter((other) => other.isOpen)
    device.isGivenUp = true
    device.isRogue = this.#random.chance(0.4)
    this.#world.journal.fault(device.isRogue ? 'stolen and revoked' : 'revoked', device.name)
    // Also by itself.
    if (others.length > 0 && this.#random.chance(0.7)) {
      start(this.#world, this.#random.pick(others).revoke(device))
      await this.#world.time.sleep(Math.min(10 * minuteMs, this.#endMs - this.#world.time.nowMs))
    }
    // If that did not succeed by then.
    await this.#world.revoke(device)
  }

  /** Its operator's bad days. */
  #troubleNode(): Promise<void> {
    const { node, features } = this.#world
    const kind = features.hasNodeRestores ? this.#random.below(4) : 0
    if (kind === 2) return node.backUp()
    if (kind === 3) return node.restore()
    return node.restart(this.#random.wait(2 * minuteMs))
  }

  async #litter(): Promise<void> {
    const { devices } = this.#world
    const known = devices.flatMap(({ installationId }) => installationId ?? [])
    if (known.length === 0) return
    const length = Math.floor(this.#random.wait(2_000))
    await this.#world.litter(this.#random.pick(known), this.#random.bytes(length))
  }
}

/** All faults are off. */
const passNight = async (world: World): Promise<void> => {
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
