import { expect, test } from 'vitest'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { addressOf } from '../../support/checked.ts'
import {
  aCouple,
  asContract,
  askable,
  aWorld,
  chain,
  openContract,
  openLive,
  publishedBy,
  say,
  serving,
  stateOf,
  statesOf,
  textsOf,
} from '../../support/contract-world.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  never,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { startLocalChain } from '../../support/local-chain.ts'

test('a contract account revokes a device with one signature, and everybody hears of it', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const atBob = await openBob()
  const { id } = await atBob.engine.conversation(safe.address)
  await say(atBob, id, 'to both')
  await untilTexts(phone, id, 1)
  const asked = world.asked.length
  await atSafe.engine.revoke([phone.engine.installationId], never)
  expect(world.asked).toHaveLength(asked + 1)
  expect(world.asked.at(-1)).toMatch(/^XMTP: Revoke Messaging Access\n/)
  expect(world.asked.at(-1)).toMatch(new RegExp(`\\nChain ID: ${chain.id}$`))
  // Whoever revokes need not ask whether it is done.
  const revoked = expect.objectContaining({ id: phone.engine.installationId, state: 'revoked' })
  const told = { kind: 'installation-revoked', installation: revoked }
  expect(atSafe.events).toContainEqual(told)
  expect(await stateOf(atSafe, safe.address, phone.engine.installationId)).toBe('revoked')
  await untilState(phone, 'revoked')
  await until(async () => {
    const state = await stateOf(atBob, safe.address, phone.engine.installationId)
    return state === 'revoked'
  })
  expect(atBob.events).toContainEqual(
    expect.objectContaining({
      kind: 'installation-revoked',
      installation: expect.objectContaining({ id: phone.engine.installationId, state: 'revoked' }),
    }),
  )
  await say(atBob, id, 'to one')
  await untilTexts(atSafe, id, 2)
  expect(await textsOf(phone, id)).toEqual(['to both'])
  expect(await statesOf(atSafe, bob.address)).toEqual(['valid'])
})

test('a revocation that cannot be checked makes its device unverified, until the chain is back', async () => {
  const world = await aWorld()
  const { safe, atSafe, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const before = await openBob()
  const { id } = await before.engine.conversation(safe.address)
  await say(before, id, 'to both')
  await before.engine.close()
  await untilTexts(phone, id, 1)
  await atSafe.engine.revoke([phone.engine.installationId], never)
  await phone.engine.close()

  chain.leave()
  try {
    const atBob = await openBob()
    const state = () => stateOf(atBob, safe.address, phone.engine.installationId)
    expect(await state()).toBe('unverified')
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
    const inbox = { topic: `message-${phone.engine.installationId}`, afterSequence: 0n }
    const limits = { envelopes: 500, bytes: 1e9 }
    const had = (await world.node.store.page([inbox], limits)).envelopes.length
    await say(atBob, id, 'to one')
    expect((await world.node.store.page([inbox], limits)).envelopes).toHaveLength(had)
    chain.comeBack()
    await until(async () => (await state()) === 'revoked')
  } finally {
    chain.comeBack()
  }
})

test('a revocation that the chain no longer confirms leaves its device unverified for good', async () => {
  const world = await aWorld()
  const { owner, safe, atSafe, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const before = await openBob()
  expect(await statesOf(before, safe.address)).toEqual(['valid', 'valid'])
  await before.engine.close()
  await atSafe.engine.revoke([phone.engine.installationId], never)
  await chain.changeOwner(addressOf(safe), owner, anAccount().address)

  const chains = askable()
  const atBob = await openBob(chains)
  for (let time = 0; time < 2; time += 1) {
    expect(await stateOf(atBob, safe.address, phone.engine.installationId)).toBe('unverified')
    // What was confirmed before the owner changed is kept.
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
  }
  // A no is not asked about again at every turn.
  expect(chains.asked).toHaveLength(1)
})

test('a revocation of another chain has no say', async () => {
  const other = await startLocalChain(31_338n)
  try {
    const owner = anAccount()
    const squatter = anAccount()
    const world = await aWorld()
    const safe = asContract(owner, await chain.deployWallet(owner.address))
    const atSafe = await openContract(world, safe)
    const lying = await anEngineWorld({
      chains: { ids: [other.id], verify: async () => 'valid', close: () => undefined },
    })
    // The squatter grants and revokes at a node of their own, over the same address.
    const [bundle] = (await publishedBy(world, safe)).bundles
    const atSquatter = await openLive(lying, {
      account: asContract(squatter, safe.address),
      database: freshDatabase(),
      contractChainId: other.id,
    })
    await atSquatter.engine.revoke([atSquatter.engine.installationId], never)
    const { revocations } = await publishedBy(lying, safe)
    const address = addressOf(safe)
    const lists = new Map([
      [contactTopic(address), bundle ? [bundle] : []],
      [revokedTopic(address), revocations],
    ])
    const atBob = await openLive(world, {
      account: anAccount(),
      database: freshDatabase(),
      network: serving(lists),
      chains: askable(),
    })
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
    expect(await statesOf(atBob, safe.address)).toEqual(['valid'])
  } finally {
    await other.close()
  }
})
