/** Clients that claim prekeys, and claim again with the same id after whatever happened. */
import { hash } from 'node:crypto'
import { PrekeyKind } from '../../src/gen/padlock/v1/contact_pb.ts'
import type { ClaimPrekeysResponse } from '../../src/gen/padlock/v1/node_pb.ts'
import type { Caller } from './caller.ts'
import { keyText } from './stock.ts'
import type { Member, World } from './world.ts'

interface Claim {
  readonly id: Uint8Array<ArrayBuffer>
  readonly members: readonly Member[]
  readonly installationIds: readonly string[]
  readonly startMs: number
  /** What it was answered with first. */
  answer?: string
}

/** Claims until the run stops. */
export async function claimPrekeys(world: World): Promise<void> {
  const { caller, random, name } = world.newClient()
  const second = world.newClient()
  const earlier: Claim[] = []
  const stranger = world.newInstallation(`${name} stranger`)
  for (let count = 0; !world.stopping; count += 1) {
    const members = [
      ...new Set(Array.from({ length: 1 + random.below(5) }, () => random.pick(world.members))),
    ]
    const claim: Claim = {
      id: Uint8Array.from(hash('sha256', `${name} ${count}`, 'buffer').subarray(0, 16)),
      members,
      // Who is not registered has no keys, and spoils nothing for the others.
      installationIds: [...members.map(({ installation }) => installation.id), stranger.id],
      startMs: performance.now(),
    }
    const ask = (by: Caller, what: Claim) => askFor(world, by, what)
    if (random.chance(0.1)) await Promise.all([ask(caller, claim), ask(second.caller, claim)])
    else await ask(caller, claim)
    world.ledger.count('claims')
    earlier.push(claim)
    // Claims are known for ten minutes; these are asked for again within a few seconds.
    if (earlier.length > 200) earlier.shift()
    if (random.chance(0.2)) {
      await ask(caller, random.pick(earlier))
      world.ledger.count('claims asked again')
    }
  }
}

async function askFor(world: World, caller: Caller, claim: Claim): Promise<void> {
  const { id: claimId, installationIds } = claim
  const answer = await caller.call((client, options) =>
    client.claimPrekeys({ claimId, installationIds: [...installationIds] }, options),
  )
  const name = keyText(claimId)
  if (answer.kind !== 'answered') {
    world.ledger.report(`claim ${name} was not answered`)
    return
  }
  const text = describe(answer.value)
  if (claim.answer !== undefined) {
    if (claim.answer !== text) {
      world.ledger.report(`claim ${name} got ${text} after ${claim.answer}`)
    }
    return
  }
  claim.answer = text
  judge(world, claim, answer.value)
}

const describe = ({ claimed }: ClaimPrekeysResponse): string =>
  claimed
    .map(({ installationId, prekey }) => {
      const key = prekey === undefined ? 'nothing' : keyText(prekey.curve25519)
      return `${installationId}: ${key}`
    })
    .join(', ')

function judge(world: World, claim: Claim, { claimed }: ClaimPrekeysResponse): void {
  const { ledger } = world
  const name = keyText(claim.id)
  if (claimed.length !== claim.installationIds.length) {
    ledger.report(
      `claim ${name} has ${claimed.length} answers, not ${claim.installationIds.length}`,
    )
  }
  for (const [index, { installationId, prekey }] of claimed.entries()) {
    if (installationId !== claim.installationIds[index]) {
      ledger.report(`claim ${name} answers for ${installationId} at ${index}`)
    }
    const member = claim.members[index]
    if (member === undefined) {
      if (prekey !== undefined) ledger.report(`claim ${name} got a key of a stranger`)
    } else if (prekey === undefined) {
      ledger.report(`claim ${name} got nothing of ${installationId}, which has a fallback`)
    } else if (prekey.kind === PrekeyKind.ONE_TIME) {
      const key = keyText(prekey.curve25519)
      const wrong = member.stock.claimed(key, name, claim.startMs)
      if (wrong !== undefined) ledger.report(`one-time key ${key} of claim ${name} ${wrong}`)
      ledger.count('one-time keys claimed')
    } else ledger.count('fallback keys claimed')
  }
}
