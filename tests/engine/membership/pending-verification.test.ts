/** When chains are asked about contract accounts, how often, and how much is kept until they answer. */

import { expect, test } from 'vitest'
import type { SignatureStatus } from '../../../src/chains/chains.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { grantText, parseContactBundle } from '../../../src/protocol/contact.ts'
import { hourMs } from '../../../src/protocol/limits.ts'
import { hashPersonalMessage } from '../../../src/protocol/wallet-signature.ts'
import { tables } from '../../../src/store/tables.ts'
import { aDesk } from '../../support/chain-desk.ts'
import { aGrant, aRevocation, type By, theAddress } from '../../support/contract-grants.ts'
import { freshDatabase, until } from '../../support/engine.ts'
import { aDevice } from '../../support/engine-context.ts'

const one = { chainId: 1n }

const ownDevice = () => aDevice(theAddress)
const grantsOf = async (count: number, by: By = one) =>
  Promise.all(Array.from({ length: count }, async () => (await aGrant(ownDevice(), by)).message))

test('a chain is asked with the hash of the text, the signature, the address and the chain', async () => {
  const desk = await aDesk()
  const signature = Uint8Array.from({ length: 200 }, (_, at) => at)
  const { message } = await aGrant(ownDevice(), { ...one, signature })
  await desk.grants(message)
  await desk.accounts.check(theAddress)
  const bundle = parseContactBundle(message)
  if (!bundle.ok) throw new Error(bundle.why)
  const text = grantText(bundle.value)
  expect(text).toMatch(/\nChain ID: 1$/)
  const hash = hashPersonalMessage(text)
  expect(desk.asked).toEqual([{ chainId: 1n, address: theAddress, hash, signature }])
  expect(await desk.states()).toEqual(['valid'])
  expect(await desk.kept()).toEqual([])
})

test('nothing is asked while the node is away; then at once', async () => {
  const desk = await aDesk()
  void desk.accounts.run()
  await desk.grants(...(await grantsOf(1)))
  await until(() => desk.waits.length > 0)
  expect(desk.asked).toEqual([])
  desk.accounts.setLive(true)
  await until(async () => (await desk.states())[0] === 'valid')
})

test('a chain that is away is asked again with growing waits, a minute at most, and never all at once', async () => {
  const desk = await aDesk()
  desk.say.word = async () => 'unreachable'
  await desk.grants(...(await grantsOf(10)))
  desk.live()
  const waits: number[] = []
  for (let time = 1; time <= 10; time += 1) {
    await until(() => desk.waits.length === 1)
    expect(desk.asked).toHaveLength(4 * time)
    const [wait = 0] = desk.waits
    waits.push(wait)
    desk.turn(wait)
    await until(() => desk.asked.length > 4 * time)
  }
  expect(waits[0]).toBeLessThanOrEqual(500)
  expect(Math.max(...waits)).toBeLessThanOrEqual(60_000)
  expect(waits.at(-1)).toBeGreaterThanOrEqual(30_000)
  expect(new Set(await desk.states())).toEqual(new Set(['unverified']))
  desk.say.word = async () => 'valid'
  await until(() => desk.waits.length === 1)
  desk.turn(60_000)
  await until(async () => (await desk.states()).every((state) => state === 'valid'))
  expect(await desk.kept()).toEqual([])
})

test('coming back ends the back-off, and so does need, two seconds after the last try', async () => {
  const desk = await aDesk()
  desk.say.word = async () => 'unreachable'
  await desk.grants(...(await grantsOf(1)))
  desk.live()
  for (let time = 1; time <= 8; time += 1) {
    await until(() => desk.asked.length === time && desk.waits.length === 1)
    if (time < 8) desk.turn(60_000)
  }
  const stranger = aDevice().address
  desk.accounts.need([stranger])
  expect(desk.waits[0]).toBeGreaterThan(2_000)
  desk.accounts.need([theAddress])
  await until(() => desk.waits.length === 1 && (desk.waits[0] ?? 0) <= 2_000)
  expect(desk.asked).toHaveLength(8)
  desk.turn(2_000)
  await until(() => desk.asked.length === 9)
  await until(() => desk.waits.length === 1)
  desk.accounts.setLive(false)
  desk.accounts.setLive(true)
  await until(() => desk.asked.length === 10)
})

test('a no is asked about again after an hour, and stays unverified', async () => {
  const desk = await aDesk()
  desk.say.word = async () => 'invalid'
  await desk.grants(...(await grantsOf(1)))
  desk.live()
  await until(() => desk.waits.length === 1 && desk.asked.length === 1)
  desk.accounts.need([theAddress])
  await desk.accounts.check(theAddress)
  desk.turn(hourMs - 1)
  await desk.accounts.check(theAddress)
  expect(desk.asked).toHaveLength(1)
  expect(await desk.states()).toEqual(['unverified'])
  desk.say.word = async () => 'valid'
  desk.turn(1)
  await until(async () => (await desk.states())[0] === 'valid')
})

test('a no that may pass is asked about again in seconds, then in minutes, and when the account is needed', async () => {
  const desk = await aDesk()
  desk.say.word = async () => 'doubtful'
  await desk.grants(...(await grantsOf(1)))
  desk.live()
  const waits: number[] = []
  for (let time = 1; time <= 12; time += 1) {
    await until(() => desk.asked.length === time && desk.waits.length === 1)
    waits.push(desk.waits[0] ?? 0)
    if (time < 12) desk.turn(desk.waits[0] ?? 0)
  }
  expect(waits.slice(0, 4)).toEqual([4_000, 8_000, 16_000, 32_000])
  expect(waits.at(-1)).toBe(hourMs)
  expect(desk.accounts.whyUnverified(theAddress)).toBe('unverified')
  desk.accounts.need([aDevice().address])
  expect(desk.waits[0]).toBe(hourMs)
  desk.say.word = async () => 'valid'
  desk.accounts.need([theAddress])
  await until(() => desk.waits.length === 1 && (desk.waits[0] ?? 0) <= 2_000)
  desk.turn(2_000)
  await until(async () => (await desk.states())[0] === 'valid')
})

test('an account whose chain is away waits for that, others do not', async () => {
  const desk = await aDesk()
  desk.say.word = async () => 'unreachable'
  await desk.grants(...(await grantsOf(1)))
  desk.live()
  await until(() => desk.waits.length === 1 && desk.asked.length === 1)
  expect(desk.accounts.whyUnverified(theAddress)).toBe('chain_unavailable')
  expect(desk.accounts.whyUnverified(aDevice().address)).toBe('unverified')
  const [warning] = desk.context.status.current.warnings
  expect(warning).toMatchObject({ code: 'chain_unavailable', count: 1 })
})

test('a chain that nobody named is never asked, and what it should say is kept over a restart', async () => {
  const database = freshDatabase()
  const before = await aDesk({ database, ids: [] })
  await before.grants(...(await grantsOf(2)))
  before.live()
  await before.accounts.check(theAddress)
  expect(before.asked).toEqual([])
  expect(await before.kept()).toHaveLength(2)
  before.close()
  before.store.close()

  const after = await aDesk({ database })
  expect(await after.states()).toEqual(['unverified', 'unverified'])
  after.live()
  await until(async () => (await after.states()).every((state) => state === 'valid'))
  expect(await after.kept()).toEqual([])
})

test('grants are asked about before revocations, which wait for the kind of the account', async () => {
  const desk = await aDesk({ ids: [1n, 2n] })
  const [phone, laptop] = [ownDevice(), ownDevice()]
  const revocation = await aRevocation([phone], one)
  await desk.revocations(revocation)
  await desk.accounts.check(theAddress)
  expect(desk.asked).toEqual([])
  await desk.grants((await aGrant(phone, one)).message, (await aGrant(laptop, one)).message)
  await desk.accounts.check(theAddress)
  expect(desk.asked).toHaveLength(3)
  expect((await desk.states()).sort()).toEqual(['revoked', 'valid'])
  expect(await desk.kept()).toEqual([])
})

test('where the account has a key, what a contract signed is kept and asked about, and counts only by delegation', async () => {
  const desk = await aDesk()
  const [phone, laptop] = [ownDevice(), ownDevice()]
  await desk.grants((await aGrant(phone, one)).message)
  await desk.revocations(await aRevocation([laptop], one))
  expect(await desk.kept()).toHaveLength(2)
  await desk.grants((await aGrant(laptop, 'key')).message)
  expect(await desk.kept()).toHaveLength(2)
  await desk.accounts.check(theAddress)
  expect(desk.asked).toHaveLength(2)
  expect((await desk.states()).sort()).toEqual(['unverified', 'valid'])
  // What does not count is a no like any other: asked about again after an hour.
  desk.say.word = async () => 'delegated'
  await desk.accounts.check(theAddress)
  expect(desk.asked).toHaveLength(2)
  desk.turn(hourMs)
  await desk.accounts.check(theAddress)
  expect((await desk.states()).sort()).toEqual(['revoked', 'valid'])
  expect(await desk.kept()).toEqual([])
})

test('a statement that is read again is verified once', async () => {
  const desk = await aDesk()
  const [message = new Uint8Array()] = await grantsOf(1)
  await desk.grants(message, message)
  await desk.grants(message)
  expect(await desk.kept()).toHaveLength(1)
  expect(desk.pending.all()).toHaveLength(1)
})

test('one yes is enough for two grants of an installation', async () => {
  const desk = await aDesk()
  const device = ownDevice()
  await desk.grants(
    (await aGrant(device, one, { createdNs: 2n })).message,
    (await aGrant(device, { ...one, signature: Uint8Array.of(6) }, { createdNs: 1n })).message,
  )
  expect(await desk.kept()).toHaveLength(2)
  desk.say.word = async ({ signature }) => (signature.length === 1 ? 'invalid' : 'valid')
  await desk.accounts.check(theAddress)
  expect(await desk.states()).toEqual(['valid'])
  expect(await desk.kept()).toEqual([])
})

test('a yes that comes after the account changed is judged by what is known then', async () => {
  const desk = await aDesk()
  const [phone, laptop] = [ownDevice(), ownDevice()]
  let answer: (word: SignatureStatus) => void = () => undefined
  desk.say.word = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  await desk.grants((await aGrant(phone, one)).message)
  const checking = desk.accounts.check(theAddress)
  await until(() => desk.asked.length === 1)
  await desk.grants((await aGrant(laptop, 'key')).message)
  answer('valid')
  await checking
  expect((await desk.states()).sort()).toEqual(['unverified', 'valid'])
})

test('an installation that is confirmed gets what went to others meanwhile, in the same transaction', async () => {
  const desk = await aDesk()
  const device = ownDevice()
  await desk.grants((await aGrant(device, one)).message)
  const deferredFor: string[] = []
  desk.listener.gained = async (installations, commit) => {
    expect(await desk.states()).toEqual(['unverified'])
    deferredFor.push(...installations.map(({ id }) => id))
    await commit({ writes: [] })
    expect(await desk.states()).toEqual(['valid'])
  }
  await desk.accounts.check(theAddress)
  expect(deferredFor).toEqual([device.installationId])
})

test('a revocation of our own account is kept for other nodes once it is confirmed, not before', async () => {
  const desk = await aDesk({ isOwn: true })
  const device = ownDevice()
  const revocation = await aRevocation([device], one)
  const own = async () =>
    (await desk.store.scan(tables.revocations, { after: 0, limit: 9 })).rows.map(
      ({ value }) => value.message,
    )
  await desk.grants((await aGrant(device, one)).message)
  await desk.revocations(revocation)
  expect(await own()).toEqual([])
  await desk.accounts.check(theAddress)
  expect(await own()).toEqual([revocation])
  // Of another account there is nothing to keep.
  const others = await aDesk()
  await others.grants((await aGrant(device, one)).message)
  await others.revocations(revocation)
  await others.accounts.check(theAddress)
  expect((await others.store.scan(tables.revocations, { after: 0, limit: 9 })).rows).toEqual([])
})

test('devices of an account that is read for the first time are no news; later ones are', async () => {
  const desk = await aDesk()
  const [phone, laptop, tablet] = [ownDevice(), ownDevice(), ownDevice()]
  const told = () =>
    desk.events.flatMap((event) =>
      event.kind === 'installation-added' || event.kind === 'installation-revoked'
        ? [[event.kind, event.installation.id, event.installation.state]]
        : [],
    )
  await desk.grants((await aGrant(phone, one)).message)
  await desk.accounts.check(theAddress)
  expect(told()).toEqual([])
  await desk.grants((await aGrant(laptop, one)).message, (await aGrant(tablet, one)).message)
  await desk.revocations(await aRevocation([phone], one))
  // Nobody confirmed any of it yet.
  expect(told()).toEqual([])
  await desk.accounts.check(theAddress)
  expect(told()).toEqual([
    ['installation-added', laptop.installationId, 'valid'],
    ['installation-added', tablet.installationId, 'valid'],
    ['installation-revoked', phone.installationId, 'revoked'],
  ])
  // One that was gone when the account was first read is no news either.
  const late = await aDesk()
  await late.revocations(await aRevocation([phone], one))
  await late.accounts.check(theAddress)
  expect(late.events).toEqual([])
})

test('at most 120 pending verifications are asked a minute, four at a time', async () => {
  const desk = await aDesk()
  let underWay = 0
  let most = 0
  desk.say.word = async () => {
    underWay += 1
    most = Math.max(most, underWay)
    await new Promise((resolve) => setTimeout(resolve, 1))
    underWay -= 1
    return 'invalid'
  }
  await desk.grants(...(await grantsOf(130)))
  desk.live()
  await until(() => desk.asked.length === 120 && desk.waits.length === 1)
  await desk.accounts.check(theAddress)
  expect(desk.asked).toHaveLength(120)
  expect(most).toBe(4)
  desk.turn(60_000)
  await until(() => desk.asked.length === 130)
})

test('a chain that takes its time holds nothing up for more than a moment', async () => {
  const desk = await aDesk()
  desk.say.word = () => new Promise(() => undefined)
  await desk.grants(...(await grantsOf(1)))
  let isOver = false
  const settling = desk.accounts.awaitVerification([theAddress]).then(() => {
    isOver = true
  })
  await until(() => desk.waits.length === 1)
  expect(desk.waits).toEqual([2_000])
  expect(isOver).toBe(false)
  desk.turn(2_000)
  await settling
  // Of who needs no chain nothing is waited for.
  const atOnce = desk.accounts.awaitVerification([aDevice().address])
  expect(desk.waits).toEqual([])
  await atOnce
})

test('pending verifications of one account, of one installation and in all are bounded', async () => {
  const desk = await aDesk()
  const long = { ...one, signature: new Uint8Array(8_192) }
  const device = ownDevice()
  for (let createdNs = 1n; createdNs <= 6n; createdNs += 1n) {
    await desk.grants((await aGrant(device, one, { createdNs })).message)
  }
  expect(await desk.kept()).toHaveLength(4)
  for (let page = 0; page < 15; page += 1) await desk.grants(...(await grantsOf(10, long)))
  const bytes = desk.pending.all().reduce((sum, question) => sum + question.bytes, 0)
  expect(bytes).toBeLessThanOrEqual(1024 * 1024)
  expect(bytes).toBeGreaterThan(1024 * 1024 - 10_000)
  // Those that found no room are never valid.
  expect(new Set(await desk.states())).toEqual(new Set(['unverified']))

  const crowd = Array.from({ length: 17 }, () => aDevice())
  const accounts = await Promise.all(
    crowd.map(async (one, at) => ({
      address: one.address,
      messages: await Promise.all(
        Array.from(
          { length: at === 16 ? 1 : 120 },
          async () => (await aGrant({ ...aDevice(), address: one.address }, long)).message,
        ),
      ),
    })),
  )
  const news = accounts.flatMap(({ address, messages }) =>
    messages.map((message) => ({ address, message, nodeNs: 1n, isGrant: true, isNews: false })),
  )
  await commit(
    desk.store,
    desk.pending.additionChange(news, () => false),
  )
  const all = desk.pending.all().reduce((sum, one) => sum + one.bytes, 0)
  expect(all).toBeLessThanOrEqual(16 * 1024 * 1024)
  expect(all).toBeGreaterThan(15.9 * 1024 * 1024)
})
