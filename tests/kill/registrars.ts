/** Clients that register, top up prekeys and revoke, each at a person's pace. */
import { setTimeout as sleep } from 'node:timers/promises'
import { inboxEnvelope, revocation } from '../node/support.ts'
import { type Client, type Member, nowNs, type World } from './world.ts'

/** Registers new accounts, up to so many, of which a third are revoked again. */
export async function registerAccounts(world: World, limit: number): Promise<void> {
  const client = world.newClient()
  const { caller, random, name } = client
  for (let count = 0; count < limit && !world.stopping; count += 1) {
    const member = await world.register(caller, world.newInstallation(`${name} ${count}`))
    if (random.chance(0.33)) await revoke(world, client, member)
    else world.members.push(member)
    await sleep(20 + random.below(100))
  }
}

/** After the revocation nothing new is stored for it, and what was stored keeps its receipt. */
async function revoke(world: World, client: Client, { installation, stock }: Member) {
  const { caller } = client
  const { ledger } = world
  const early = ledger.open([
    inboxEnvelope(installation, 'early'),
    await installation.bundle(nowNs() + 1n),
  ])
  await world.publish(caller, early)
  const revoked = ledger.open([await revocation(installation.account, [installation])])
  await world.publish(caller, revoked)
  ledger.count('revocations')
  const late = ledger.open([inboxEnvelope(installation, 'late')])
  await world.publish(caller, late, { refused: { code: 'recipient_gone', index: 0 } })
  const upload = stock.next({ oneTime: 3, fallback: false, replace: false })
  const keys = ledger.open([upload.envelope])
  await world.publish(caller, keys, { refused: { code: 'revoked', index: 0 } })
  for (const log of [early, revoked]) await world.publish(caller, log)
}

/** Uploads prekeys for some of the members, one upload after another. */
export async function topUpPrekeys(world: World, isMine: (index: number) => boolean) {
  const { caller, random } = world.newClient()
  while (!world.stopping) {
    const mine = world.members.filter((_, index) => isMine(index))
    const { stock } = random.pick(mine)
    const replace = random.chance(0.05)
    const oneTime = 1 + random.below(40)
    const upload = stock.next({ oneTime, fallback: replace || random.chance(0.2), replace })
    const log = world.ledger.open([upload.envelope])
    const outcome = await world.publish(caller, log, { allowed: 'stock_full' })
    if (outcome === 'answered') stock.stored(upload)
    else stock.refused(upload)
    world.ledger.count(outcome === 'answered' ? 'prekey uploads' : 'prekey uploads refused')
    await sleep(random.below(20))
  }
}
