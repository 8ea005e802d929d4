/** Clients that send envelopes at full rate, some of which must be refused. */
import { hash } from 'node:crypto'
import type { Random } from './caller.ts'
import type { NewEnvelope, PublishLog } from './ledger.ts'
import { type Client, nowNs, type World } from './world.ts'

/** Sends until the run stops. */
export async function publishMail(world: World): Promise<void> {
  const client = world.newClient()
  const second = world.newClient()
  const { caller, random } = client
  const delivered: NewEnvelope[] = []
  const givenUp: PublishLog[] = []
  for (let count = 0; !world.stopping; count += 1) {
    const mails = someMail(world, client, count)
    if (random.chance(0.06)) {
      await publishRefused(world, client, mails, count)
      continue
    }
    // What is known already lies among what is new, or twice in one request.
    if (random.chance(0.1) && delivered.length > 0) mails.push(random.pick(delivered))
    if (random.chance(0.02)) mails.push(random.pick(mails))
    const log = world.ledger.open(mails)
    let outcome: Awaited<ReturnType<World['publish']>>
    if (random.chance(0.05)) {
      // Two connections with the same bytes at the same time, as after a change of network.
      const both = [world.publish(caller, log), world.publish(second.caller, log)]
      const [first = 'given-up'] = await Promise.all(both)
      outcome = first
    } else outcome = await world.publish(caller, log, random.chance(0.1) ? { tries: 1 } : {})
    if (outcome === 'answered') delivered.push(random.pick(mails))
    if (outcome === 'given-up') givenUp.push(log)
    // Half of those who gave up come back, much later.
    if (random.chance(0.02)) {
      const late = givenUp.pop()
      if (late !== undefined && random.chance(0.5)) await world.publish(caller, late)
    }
  }
}

/** One to twenty envelopes to anybody's inbox, unlike all others. */
function someMail(world: World, { random, name }: Client, count: number): NewEnvelope[] {
  return Array.from({ length: 1 + random.below(20) }, (_, part) => ({
    topic: random.pick(world.members).installation.inbox,
    message: someBytes(`${name} ${count} ${part}`, random),
  }))
}

/** Mostly the size of a short message, at times that of a picture. */
function someBytes(name: string, random: Random): Uint8Array {
  const seed = hash('sha512', name, 'buffer')
  const length = random.chance(0.005) ? 40_000 : 64 + random.below(900)
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += seed.length) bytes.set(seed.subarray(0, length - at), at)
  return bytes
}

/** One envelope spoils the request, wherever it stands: the others must not be stored either. */
async function publishRefused(
  world: World,
  { caller, random, name }: Client,
  good: readonly NewEnvelope[],
  count: number,
): Promise<void> {
  const index = random.below(good.length + 1)
  const { envelope, code } = await somethingBad(world, random, `${name} ${count} bad`)
  const log = world.ledger.open([...good.slice(0, index), envelope, ...good.slice(index)])
  await world.publish(caller, log, { refused: { code, index } })
}

async function somethingBad(world: World, random: Random, name: string) {
  switch (random.below(4)) {
    case 0: {
      const nobody = world.newInstallation(name)
      return {
        code: 'recipient_gone',
        envelope: { topic: nobody.inbox, message: someBytes(name, random) },
      }
    }
    case 1:
      return {
        code: 'bad_signature',
        envelope: broken(await world.newInstallation(name).bundle(nowNs())),
      }
    case 2: {
      const { installation } = random.pick(world.members)
      const createdNs = nowNs()
      return {
        code: 'bad_signature',
        envelope: broken(installation.upload({ createdNs, oneTime: 2 })),
      }
    }
    default:
      return {
        code: 'unknown_topic',
        envelope: { topic: `letter-${name}`, message: someBytes(name, random) },
      }
  }
}

/** Both kinds of message end with the installation's signature: its last byte, the top of S. */
function broken({ topic, message }: NewEnvelope): NewEnvelope {
  const bytes = Uint8Array.from(message)
  const middle = bytes.length - 20
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  return { topic, message: bytes }
}
