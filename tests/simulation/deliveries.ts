/** Who had to get which message (docs/protocol.md section 8), whether they have it, and in its place. */
import type { Message } from '../../src/engine/model.ts'
import type { Device } from './device.ts'
import { nodeClockLimitMs } from './features.ts'
import type { Sent } from './scenario.ts'
import { type Figures, nodeNsOf, type Shown } from './shown.ts'
import { startMs } from './surroundings.ts'
import type { Registered } from './truth.ts'
import type { World } from './world.ts'

const nsPerMs = 1_000_000n
/**
 * Whoever sends by a live subscription may not have heard of an installation this long after it came
 * (docs/protocol.md section 8: 60 s, and the time on the way): what it is owed arrives later.
 */
const knownAfterMs = 90_000
/** Who comes back to a restored node is there before its prekeys: a claim that finds none is made again then. */
const claimPauseMs = 3_600_000

export const judgeDeliveries = (
  world: World,
  all: readonly Sent[],
  shown: Shown,
  truth: ReadonlyMap<string, Registered>,
): Figures => {
  const { journal, features } = world
  const lateMs =
    knownAfterMs +
    (features.hasNodeClock ? 2 * nodeClockLimitMs : 0) +
    (features.hasNodeRestores ? claimPauseMs : 0)
  const now = (device: Device) => truth.get(device.installationId ?? '')
  const messagesOf = new Map(
    [...shown].map(([device, messages]) => [
      device,
      new Map(messages.map((message) => [message.content ?? '', message])),
    ]),
  )
  const isKnownInTime = (device: Device, sent: Sent): boolean => {
    const installation = now(device)
    const sentNs = BigInt(Math.floor(startMs + sent.atMs)) * nsPerMs
    return installation !== undefined && installation.sinceNs + BigInt(lateMs) * nsPerMs < sentNs
  }
  /** It was on its way when the node lost its data: who had got it before keeps it in its first place. */
  const wasUnderWay = (sent: Sent): boolean => {
    const own = messagesOf.get(sent.from)?.get(sent.text)
    const sentNs = BigInt(Math.floor(startMs + sent.atMs)) * nsPerMs
    return world.node.lost.some(({ toNs }) => sentNs <= toNs && own && toNs <= nodeNsOf(own))
  }
  /** A copy of its own stands where it arrived: of what was owed, and of what an older copy sent twice. */
  const mayStandElsewhere = (device: Device, sent: Sent): boolean =>
    device !== sent.from &&
    (!isKnownInTime(device, sent) || sent.from.forgotten.length > 0 || wasUnderWay(sent))

  /**
   * In a season keys age: an older copy may lack the one that a message was sealed to. And each message is
   * sent again twice at most (docs/protocol.md section 10), also to whom forgets it again and again.
   */
  const mayHaveLost = (device: Device, sent: Sent): boolean =>
    device.forgotten.length > 1 ||
    (features.isSeason && device.forgotten.length + sent.from.forgotten.length > 0)

  /** What only the lost part of a node's data knew: who was revoked, and what was on its way. */
  const isLost = (device: Device, sent: Sent, nodeNs: bigint): boolean =>
    (features.hasNodeRestores && (device.isGivenUp || sent.from.isGivenUp)) ||
    world.node.lost.some(({ fromNs, toNs }) => fromNs <= nodeNs && nodeNs <= toNs)

  const figures = { sent: 0, deliveries: 0, owed: 0, otherKept: 0, otherMissing: 0 }
  for (const sent of all) {
    const places = new Map<string, Device>()
    for (const [device, messages] of messagesOf) {
      const message = messages.get(sent.text)
      if (!message || message.state === 'pending' || mayStandElsewhere(device, sent)) continue
      const [place, first] = [...places][0] ?? []
      if (place === undefined) places.set(message.order, device)
      else if (place !== message.order) {
        journal.problem(`${sent.text} stands elsewhere on ${device.name} than on ${first?.name}`)
      }
    }
    const own = messagesOf.get(sent.from)?.get(sent.text)
    // Who was revoked may not have been able to send, and others need not believe it any more.
    const isRevoked = truth.get(sent.installationId)?.revokedNs !== undefined
    if (!own || isRevoked) continue
    if (own.state === 'pending') {
      if (features.hasNodeRestores && sent.from.isGivenUp) continue
      judgePending(world, sent, own, now)
      continue
    }
    figures.sent += 1
    for (const device of world.devices) {
      const isConcerned = device.person === sent.to || device.person === sent.from.person
      const installation = now(device)
      if (device === sent.from || !isConcerned || !installation) continue
      if (installation.revokedNs !== undefined || installation.sinceNs >= nodeNsOf(own)) continue
      const has = messagesOf.get(device)?.has(sent.text) ?? false
      if (mayHaveLost(device, sent) || isLost(device, sent, nodeNsOf(own))) {
        figures[has ? 'otherKept' : 'otherMissing'] += 1
        if (!has) journal.note(`${device.name} has not got ${sent.text}, after an older copy`)
        continue
      }
      const isOwed = !isKnownInTime(device, sent)
      figures[isOwed ? 'owed' : 'deliveries'] += 1
      if (!has) {
        journal.problem(
          `${device.name} has not got ${sent.text}${isOwed ? ', which it is owed' : ''}`,
        )
      }
    }
  }
  return figures
}

/** Waiting is right only for an account that has no installations. */
const judgePending = (
  { devices, journal }: World,
  sent: Sent,
  { reason }: Message,
  now: (device: Device) => Registered | undefined,
): void => {
  const isReachable = devices.some((device) => {
    const installation = now(device)
    return device.person === sent.to && installation && installation.revokedNs === undefined
  })
  if (reason === 'no_installation' && !isReachable) return
  journal.problem(`${sent.text} still waits (${reason ?? 'without a reason'})`)
}
