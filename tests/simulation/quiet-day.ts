/**
 * A day on which nothing goes wrong but for strangers, if there are any: who writes what and when is drawn
 * before it begins, so that the same seed makes the same day with and without them.
 */
import { Arrivals } from './arrivals.ts'
import type { Device } from './device.ts'
import type { Person } from './people.ts'
import type { Sent } from './scenario.ts'
import type { World } from './world.ts'

const minuteMs = 60_000
/** Unless it lasts longer. */
const lengthMs = 100 * minuteMs
/** Strangers begin after the others met, and end so long before the end. */
const siegeMs = 20 * minuteMs
const eveningMs = 40 * minuteMs
/** One device is away and finds what came meanwhile. */
const awayMs = 30 * minuteMs
const backMs = 50 * minuteMs
/** Someone writes to everybody for the first time while all this is going on. */
const newcomerMs = 40 * minuteMs
const talkMs = 0.75 * minuteMs
/** On a day that lasts for days, people write more seldom: some hundred messages in all. */
const messages = 300

interface Plan {
  readonly text: string
  readonly atMs: number
  readonly from: Device
  readonly to: Person
}

export interface QuietDay {
  readonly sent: readonly Sent[]
  /** How long each message took to each device that it concerned, in virtual milliseconds. */
  readonly delays: Readonly<Record<string, number>>
  /** Those of them that a device found when it came back. */
  readonly found: readonly string[]
}

/** @param ms how long the day lasts, if longer than usual */
export const liveQuietly = async (world: World, ms = lengthMs): Promise<QuietDay> => {
  const siegeEndMs = ms - eveningMs
  const { time, chaos, crowd, journal } = world
  const people = world.people.slice(0, 3)
  chaos.calm()
  const arrivals = new Arrivals(world)
  const start = (work: Promise<unknown>) => {
    work.catch((error: unknown) => {
      journal.problem(error instanceof Error ? (error.stack ?? error.message) : String(error))
    })
  }
  const at = async (ms: number, act: () => Promise<unknown>) => {
    await time.sleep(ms - time.nowMs)
    return act()
  }
  const devices = people.map((person) => world.addDevice(person))
  const [first] = people
  const newcomer = devices.at(-1)
  if (!first || !newcomer) throw new Error('nobody is here')
  const second = world.addDevice(first)
  for (const { weather } of world.devices) weather.turn('still')
  for (const [nth, device] of devices.entries()) {
    start(at(device === newcomer ? newcomerMs : nth * 1_000, () => arrivals.open(device)))
  }
  start(at(2 * minuteMs, () => arrivals.open(second)))
  start(at(awayMs, () => second.close()))
  start(at(backMs, () => arrivals.open(second)))
  if (crowd) start(at(siegeMs, () => crowd.besiege(people, siegeEndMs)))

  const sent: Sent[] = []
  for (const plan of drawPlans(world, devices, newcomer, ms)) {
    start(at(plan.atMs, () => send(world, plan, sent)))
  }
  await time.sleep(ms)
  return { sent, ...delaysOf(world, sent, arrivals) }
}

const drawPlans = (
  world: World,
  devices: readonly Device[],
  newcomer: Device,
  ms: number,
): readonly Plan[] => {
  const untilMs = ms - eveningMs + 20 * minuteMs
  const everyMs = Math.max(talkMs, untilMs / messages)
  const random = world.random('talk')
  const plans: Plan[] = []
  const others = devices.filter((device) => device !== newcomer)
  for (let atMs = 5 * minuteMs; ; ) {
    atMs += random.wait(everyMs)
    if (atMs > untilMs) break
    // Its first messages are to everyone in turn.
    const isThere = atMs > newcomerMs + minuteMs
    const from = random.pick(isThere ? devices : others)
    const to = random.pick(isThere ? devices : others).person
    const text = `m${plans.length + 1} from ${from.name} to ${to.name}`
    plans.push({ text, atMs, from, to })
  }
  return plans
}

const send = async (world: World, { text, from, to }: Plan, all: Sent[]): Promise<void> => {
  const { installationId } = from
  if (installationId === undefined) throw new Error(`${from.name} is not here`)
  const atMs = world.time.nowMs
  const sent: Sent = {
    text,
    from,
    installationId,
    to,
    atMs,
    id: undefined,
    doneMs: Number.POSITIVE_INFINITY,
  }
  all.push(sent)
  sent.id = (await from.send(to, text))?.id
  if (sent.id !== undefined) sent.doneMs = world.time.nowMs
}

const delaysOf = (
  { devices, journal }: World,
  sent: readonly Sent[],
  arrivals: Arrivals,
): Omit<QuietDay, 'sent'> => {
  const delays: [string, number][] = []
  const found: string[] = []
  for (const { text, from, to, atMs } of sent) {
    for (const device of devices) {
      if (device === from || (device.person !== to && device.person !== from.person)) continue
      const came = arrivals.of(device, text, atMs)
      if (!came) {
        journal.problem(`${device.name} was never told of ${text}`)
        continue
      }
      const name = `${text}, on ${device.name}`
      delays.push([name, came.delayMs])
      if (came.wasAway) found.push(name)
    }
  }
  return { delays: Object.fromEntries(delays), found }
}
