/**
 * What must be true in the morning: every installation that should have a message has it once, all show
 * the same order, who was revoked got nothing after, nothing waits without a reason.
 */
import type { Engine } from '../../src/engine/engine.ts'
import type { ConversationInfo, Message } from '../../src/engine/model.ts'
import { buildConversationId, parseAddress } from '../../src/protocol/ids.ts'
import { judgeDeliveries } from './deliveries.ts'
import type { Device } from './device.ts'
import type { Sent } from './scenario.ts'
import { type Figures, nodeNsOf, type Shown } from './shown.ts'
import { type Registered, readTruth } from './truth.ts'
import type { World } from './world.ts'

export const judge = async (world: World, all: readonly Sent[]): Promise<Figures> => {
  const truth = await readTruth(world)
  const shown = new Map<Device, readonly Message[]>()
  for (const device of world.devices) {
    if (device.engine) shown.set(device, await readAll(world, device))
    else world.journal.problem(`${device.name} is not open in the morning`)
  }
  judgeEach(world, all, shown)
  judgeRevoked(world, shown, truth)
  return judgeDeliveries(world, all, shown, truth)
}

/** Everything that a device shows, conversation by conversation, oldest first. */
const readAll = async (world: World, device: Device): Promise<readonly Message[]> => {
  const { engine } = device
  if (!engine) return []
  const all: Message[] = []
  for (const { id } of await readConversations(engine)) {
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
  const { crowd } = world
  return crowd ? all.filter(({ sender }) => !crowd.has(sender)) : all
}

/** A page is short where the newest messages are long. */
const readConversations = async (engine: Engine): Promise<readonly ConversationInfo[]> => {
  const all: ConversationInfo[] = []
  for (;;) {
    const page = await engine.conversations(undefined, all.at(-1))
    if (page.length === 0) return all
    all.push(...page)
  }
}

/** Nothing twice, nothing made up, nothing in the wrong place, nothing stored is gone. */
const judgeEach = ({ journal }: World, all: readonly Sent[], shown: Shown): void => {
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
        message.senderInstallation !== sent.installationId
      ) {
        journal.problem(`${device.name} has ${text} in the wrong place`)
      }
    }
    for (const sent of all) {
      const isForgotten = device.forgotten.some(
        ({ fromMs, toMs }) => fromMs <= sent.atMs && sent.atMs <= toMs,
      )
      if (sent.from !== device || sent.id === undefined || isForgotten) continue
      if (!texts.has(sent.text)) journal.problem(`${device.name} has lost its own ${sent.text}`)
    }
    judgeComposition(device, all, messages, journal)
  }
}

/** What was written later by one installation has a later time of its own, whatever its clock did. */
const judgeComposition = (
  device: Device,
  all: readonly Sent[],
  messages: readonly Message[],
  journal: World['journal'],
): void => {
  if (device.forgotten.length > 0) return
  const byText = new Map(messages.map((message) => [message.content, message]))
  const latest = new Map<string, { readonly doneMs: number; readonly composed: string }>()
  const own = all.filter((sent) => sent.from === device && sent.id !== undefined)
  for (const sent of own.sort((a, b) => a.doneMs - b.doneMs)) {
    const composed = byText.get(sent.text)?.order.slice(16, 32)
    const before = latest.get(sent.installationId)
    if (composed === undefined) continue
    if (before && before.doneMs <= sent.atMs && before.composed >= composed) {
      journal.problem(`${sent.text} is not composed later than what was written before it`)
    }
    latest.set(sent.installationId, { doneMs: sent.doneMs, composed })
  }
}

/**
 * What a device has of others came while one of its installations was valid, and while the sender was. A
 * stolen device believes what its thief sends.
 */
const judgeRevoked = (
  { journal }: World,
  shown: Shown,
  truth: ReadonlyMap<string, Registered>,
): void => {
  for (const [device, messages] of shown) {
    const spans = [...device.installationIds].flatMap((id) => truth.get(id) ?? [])
    for (const message of messages) {
      if (device.installationIds.has(message.senderInstallation) || device.isRogue) continue
      const nodeNs = nodeNsOf(message)
      const senderRevokedNs = truth.get(message.senderInstallation)?.revokedNs
      if (senderRevokedNs !== undefined && nodeNs >= senderRevokedNs) {
        journal.problem(`${device.name} has ${message.content} of who was revoked before`)
      }
      const isWithin = spans.some(({ revokedNs }) => revokedNs === undefined || nodeNs <= revokedNs)
      if (!isWithin) journal.problem(`${device.name} was revoked and got ${message.content}`)
    }
  }
}
