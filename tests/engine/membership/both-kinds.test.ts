/**
 * One address, two wallets: one signs with the key, the other wraps its signatures for the contract
 * that the address delegates to (EIP-7702; docs/protocol.md section 3). Against a real chain.
 */
import type { PrivateKeyAccount } from 'viem'
import { expect, test } from 'vitest'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { addressOf } from '../../support/checked.ts'
import {
  askable,
  aWorld,
  chain,
  openLive,
  say,
  stateOf,
  textsOf,
  topicOf,
} from '../../support/contract-world.ts'
import {
  anAccount,
  codeOf,
  type EngineWorld,
  freshDatabase,
  never,
  type Opened,
  type Sign,
  signWith,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

const aDelegate = async (): Promise<PrivateKeyAccount> => {
  const account = anAccount()
  await chain.delegate(account, await chain.deploy('WrappingWallet'))
  return account
}

const findChain = async () => ({ chainId: chain.id, code: 'delegated' }) as const

const wrapping =
  (account: PrivateKeyAccount): Sign =>
  async (text, signal) =>
    Uint8Array.of(...new Uint8Array(20).fill(0xaa), ...(await signWith(account)(text, signal)))

const openPlain = (world: EngineWorld, account: PrivateKeyAccount) =>
  openLive(world, { account, database: freshDatabase(), chains: askable(), findChain })

const openWrapped = (world: EngineWorld, account: PrivateKeyAccount) =>
  openLive(world, {
    account,
    database: freshDatabase(),
    chains: askable(),
    findChain,
    sign: wrapping(account),
  })

const openBob = (world: EngineWorld) =>
  openLive(world, { account: anAccount(), database: freshDatabase(), chains: askable() })

const kindsOf = async (world: EngineWorld, account: { readonly address: string }) =>
  (await topicOf(world, contactTopic(addressOf(account)))).map(({ message }) => {
    const bundle = parseContactBundle(message)
    return bundle.ok ? bundle.value.signature.kind : 'vouch'
  })

test.each(['plain first', 'wrapped first'])(
  'both wallets of one address register, %s, each with one prompt; the wrapped device counts once it is vouched for',
  async (order) => {
    const isPlainFirst = order === 'plain first'
    const world = await aWorld()
    const account = await aDelegate()
    const opened: Opened[] = []
    for (const open of isPlainFirst ? [openPlain, openWrapped] : [openWrapped, openPlain]) {
      opened.push(await open(world, account))
    }
    const [first, second] = opened
    if (!first || !second) throw new Error('two devices')
    const [plain, wrapped] = isPlainFirst ? [first, second] : [second, first]
    expect(world.asked).toHaveLength(2)
    const kinds = ['eip191', 'erc1271']
    expect(await kindsOf(world, account)).toEqual(isPlainFirst ? kinds : kinds.reverse())

    const atBob = await openBob(world)
    const ids = [plain, wrapped].map(({ engine }) => engine.installationId)
    const seen = (at: Opened) => Promise.all(ids.map((id) => stateOf(at, account.address, id)))
    for (const at of [atBob, plain, wrapped]) {
      await until(async () => (await seen(at)).join() === 'valid,pending')
    }
    const { id } = await atBob.engine.conversation(account.address)
    await say(atBob, id, 'to those who count')
    await untilTexts(plain, id, 1)
    expect(await textsOf(wrapped, id)).toEqual([])
    // It knows what it waits for; nor may it vouch for itself.
    const isWarned = ({ engine }: Opened) =>
      engine.status.warnings.some(({ code }) => code === 'vouch_needed')
    expect([isWarned(wrapped), isWarned(plain)]).toEqual([true, false])
    expect(await codeOf(wrapped.engine.vouch(ids))).toBe('unverified')

    await plain.engine.vouch(ids)
    for (const at of [atBob, plain, wrapped]) {
      await until(async () => (await seen(at)).join() === 'valid,valid')
    }
    expect(isWarned(wrapped)).toBe(false)
    await say(atBob, id, 'to both')
    await untilTexts(plain, id, 2)
    await until(async () => (await textsOf(wrapped, id)).includes('to both'))
    await wrapped.engine.conversation(atBob.engine.address)
    await say(wrapped, id, 'from the wrapped one')
    await until(async () => (await textsOf(atBob, id)).includes('from the wrapped one'))
    // Once is enough, and nobody was asked for another signature.
    await plain.engine.vouch(ids)
    expect((await kindsOf(world, account)).filter((kind) => kind === 'vouch')).toHaveLength(1)
    const own = world.asked.filter((text) => text.includes(account.address.toLowerCase()))
    expect(own).toHaveLength(2)
  },
)

test('the wrapping wallet removes a device of the key, at once', async () => {
  const world = await aWorld()
  const account = await aDelegate()
  const plain = await openPlain(world, account)
  const wrapped = await openWrapped(world, account)
  await wrapped.engine.revoke([plain.engine.installationId], never)
  await untilState(plain, 'revoked')
  const atBob = await openBob(world)
  expect(await stateOf(atBob, account.address, plain.engine.installationId)).toBe('revoked')
})

test('a contract that does not delegate has no say for an address that has a key', async () => {
  const world = await aWorld({ isCheating: true })
  const account = anAccount()
  await openLive(world, { account, database: freshDatabase() })
  const opening = world.open({
    account,
    database: freshDatabase(),
    contractChainId: chain.id,
    sign: wrapping(account),
  })
  await expect(opening).rejects.toMatchObject({ code: 'wrong_signature_kind' })
})
