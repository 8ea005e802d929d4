/**
 * What must be true in the morning: every installation that should have a message has it once, all show
 * the same order, who was revoked got nothing after, nothing waits without a reason, no store grew too large.
 */
import type { Message } from '../../src/engine/model.ts'
import { buildConversationId, parseAddress } from '../../src/protocol/ids.ts'
import type { Device } from './device.ts'
import type { Sent } from './scenario.ts'
import { startMs } from './surroundings.ts'
import { type Registered, readTruth } from './truth.ts'
import type { World } from './world.ts'

/**
 * Whoever sends by a live subscription may not have heard of an installation this long after it came
 * (docs/protocol.md section 8: 60 s, and the time on the way).
 */
const knownAfterNs = 90_000_000_000n

export interface Figures {
  /** Messages that the node has. */
  readonly sent: number
  /** Pairs of a message and an installation that had to have it. */
  readonly deliveries: number
  /** Pairs whose installation came while the message was under way: owed, and had. */
  readonly owedKept: number
  /** The same, and not had. */
  readonly owedMissing: number
}

export const judge = async (world: World, all: readonly Sent[]): Promise<Figures> => {
  const truth = await readTruth(world)
  const shown = new Map<Device, readonly Message[]>()
  for (const device of world.devices) {
    if (device.engine) shown.set(device, await readAll(world, device))
    else world.journal.problem(`${device.name} is not open in the morning`)
  }
  judgeEach(world, all, shown)
  judgeOrder(world, shown)
  return judgeDeliveries(world, all, shown, truth)
}

/** Everything that a device shows, conversation by conversation, oldest first. */
const readAll = async (world: World, device: Device): Promise<readonly Message[]> => {
  const { engine } = device
  if (!engine) return []
  const all: Message[] = []
  for (const { id } of await engine.conversations()) {
    const newestFirst: Message[] = []
    for (;;) {
      const page = await engine.history(id, newestFirst.at(-1)?.cursor, 50)
      if (page.length === 0) break
      newestFirst.push(...page)
    }
    const oldestFirst = newestFirst.reverse()
    for (const [at, message] of oldestFirst.entries()) {
      const before = oldestFirst[at - 1]
      if (before && before.order >= message.order) {
        world.journal.problem(`${device.name} shows ${message.content} out of order`)
      }
    }
    all.push(...oldestFirst)
  }
  const streamed = new Set<string>()
  for (let cursor = '0'; ; ) {
    const page = await engine.nextMessages(cursor, undefined, AbortSignal.abort())
    if (page.messages.length === 0) break
    for (const { id } of page.messages) {
      if (streamed.has(id)) world.journal.problem(`${device.name} streams ${id} twice`)
      streamed.add(id)
    }
    cursor = page.cursor
  }
  if (streamed.size !== all.length) {
    world.journal.problem(`${device.name} streams ${streamed.size} and shows ${all.length}`)
  }
  return all
}

/** Nothing twice, nothing made up, nothing in the wrong place, nothing stored is gone. */
const judgeEach = (
  { journal }: World,
  all: readonly Sent[],
  shown: ReadonlyMap<Device, readonly Message[]>,
): void => {
  const byText = new Map(all.map((sent) => [sent.text, sent]))
  for (const [device, messages] of shown) {
    const texts = new Set<string>()
    for (const message of messages) {
      const text = message.content ?? ''
      const sent = byText.get(text)
      if (!sent) {
        journal.problem(`${device.name} has what nobody sent: ${text}`)
        continue
      }
      if (texts.has(text)) journal.problem(`${device.name} has ${text} twice`)
      texts.add(text)
      const convo = buildConversationId(sent.from.person.address, sent.to.address)
      const sender = parseAddress(message.sender)
      if (
        message.conversationId !== convo ||
        (sender.ok && sender.value) !== sent.from.person.address ||
        message.senderInstallation !== sent.from.installationId
      ) {
        journal.problem(`${device.name} has ${text} in the wrong place`)
      }
    }
    for (const sent of all) {
      if (sent.from === device && sent.id !== undefined && !texts.has(sent.text)) {
        journal.problem(`${device.name} has lost its own ${sent.text}`)
      }
    }
  }
}

/** The place of a message is the same wherever it is. */
const judgeOrder = ({ journal }: World, shown: ReadonlyMap<Device, readonly Message[]>): void => {
  const places = new Map<string, { readonly order: string; readonly device: Device }>()
  for (const [device, messages] of shown) {
    for (const { id, order, state, content } of messages) {
      if (state === 'pending') continue
      const first = places.get(id)
      if (!first) places.set(id, { order, device })
      else if (first.order !== order) {
        journal.problem(
          `${content} stands elsewhere on ${device.name} than on ${first.device.name}`,
        )
      }
    }
  }
}

const judgeDeliveries = (
  world: World,
  all: readonly Sent[],
  shown: ReadonlyMap<Device, readonly Message[]>,
  truth: ReadonlyMap<string, Registered>,
): Figures => {
  const { journal } = world
  const registered = (device: Device) => truth.get(device.installationId ?? '')
  const byDevice = new Map(
    [...shown].map(([device, messages]) => [
      device,
      new Map(messages.map((message) => [message.content ?? '', message])),
    ]),
  )
  const figures = { sent: 0, deliveries: 0, owedKept: 0, owedMissing: 0 }
  for (const sent of all) {
    const own = byDevice.get(sent.from)?.get(sent.text)
    const isSenderRevoked = registered(sent.from)?.revokedNs !== undefined
    const hasPeer = world.devices.some(
      (device) => device.person === sent.to && registered(device) && !registered(device)?.revokedNs,
    )
    if (own?.state === 'pending' && !isSenderRevoked) {
      const isExplained = own.reason === 'no_installation' && !hasPeer
      if (!isExplained) {
        journal.problem(`${sent.text} still waits (${own.reason ?? 'without a reason'})`)
      }
    }
    const nodeNs = own && own.state !== 'pending' ? nodeNsOf(own) : undefined
    if (nodeNs !== undefined) figures.sent += 1
    for (const device of world.devices) {
      const isConcerned = device.person === sent.to || device.person === sent.from.person
      if (device === sent.from || !isConcerned) continue
      const has = byDevice.get(device)?.has(sent.text) ?? false
      const installation = registered(device)
      const revokedNs = installation?.revokedNs
      if (has && revokedNs !== undefined && nodeNs !== undefined && nodeNs > revokedNs) {
        journal.problem(`${device.name} was revoked and got ${sent.text}`)
      }
      // Who is revoked by now may have missed what came before; so may others what such a one sent.
      if (!installation || revokedNs !== undefined || isSenderRevoked) continue
      if (nodeNs === undefined || installation.sinceNs >= nodeNs) continue
      const sentNs = BigInt(Math.floor(startMs + sent.atMs)) * 1_000_000n
      const mustKnow = installation.sinceNs + knownAfterNs < sentNs
      if (mustKnow) {
        figures.deliveries += 1
        if (!has) journal.problem(`${device.name} has not got ${sent.text}`)
      } else if (has) figures.owedKept += 1
      else figures.owedMissing += 1
    }
  }
  return figures
}

/** A message's order begins with the node's time. */
const nodeNsOf = ({ order }: Message): bigint => BigInt(`0x${order.slice(0, 16)}`)
