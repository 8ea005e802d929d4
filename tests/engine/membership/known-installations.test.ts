/** What grants and revocations of both kinds make of an account's installations (docs/protocol.md section 3). */

import { expect, test } from 'vitest'
import { isMoot } from '../../../src/engine/membership/contract-statements.ts'
import {
  fromRecords,
  installationWrite,
} from '../../../src/engine/membership/installation-records.ts'
import {
  isMember,
  isUsable,
  signersOf,
} from '../../../src/engine/membership/known-installations.ts'
import { readBundle, readRevocation } from '../../../src/engine/membership/statements.ts'
import type { Account } from '../../../src/engine/runtime/context.ts'
import { vouchSigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { buildVouch } from '../../../src/protocol/vouch.ts'
import { tables } from '../../../src/store/tables.ts'
import { Reader } from '../../support/account-reader.ts'
import { aGrant, aRevocation, theAddress } from '../../support/contract-grants.ts'
import { loadTestCrypto } from '../../support/engine.ts'
import { aDevice } from '../../support/engine-context.ts'

const crypto = await loadTestCrypto()
const one = { chainId: 1n }
const two = { chainId: 2n }
const nothing = { updates: [], asks: false }
const ownDevice = () => aDevice(theAddress)

const aVouch = ({ installationId }: Account, voucher: Account) => {
  const voucherId = voucher.installationId
  const bytes = vouchSigningBytes({ address: theAddress, voucherId, installationId })
  const [signature = new Uint8Array()] = crypto.sign(voucher.identity, [bytes])
  return buildVouch({ installationId, voucherId, signature })
}

test('a contract’s grant is unverified and asked about, and valid once its chain says yes', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  const { message } = await aGrant(device, one)
  expect(reader.grant(message).asks).toBe(true)
  expect(reader.state(device)).toBe('unverified')
  expect(isUsable(reader.of(device))).toBe(false)
  expect(signersOf(reader.account)).toEqual({ isKeyed: false, chainId: undefined })
  reader.confirm(message)
  expect(reader.state(device)).toBe('valid')
  expect(signersOf(reader.account)).toEqual({ isKeyed: false, chainId: 1n })
  expect(reader.of(device)).toMatchObject({ chainId: 1n, firstSeenNs: 100n })
})

test('a key’s grant is valid at once, and one of another key is nothing', async () => {
  const [reader, device, other] = [new Reader(), ownDevice(), aDevice()]
  expect(reader.grant((await aGrant(device, 'key')).message).asks).toBe(false)
  expect(reader.state(device)).toBe('valid')
  expect(signersOf(reader.account)).toMatchObject({ isKeyed: true })
  // Signed by that key, over a text that names the other address.
  const foreign = (await aGrant(other, 'key')).message
  expect(readBundle(crypto, other.address, foreign, 1n, new Map())).toEqual(nothing)
  const revocation = await aRevocation([other], 'key', other.address)
  expect(readRevocation(other.address, revocation, 1n, new Map())).toEqual(nothing)
})

test('a statement that names another address than its topic is nothing, of either kind', async () => {
  for (const by of ['key', one] as const) {
    const reader = new Reader()
    const { message } = await aGrant(aDevice(), by === 'key' ? by : { ...one })
    expect(reader.grant(message)).toEqual(nothing)
    const own = ownDevice()
    const address = aDevice().address
    const grant = (await aGrant(own, by)).message
    expect(readBundle(crypto, address, grant, 1n, new Map())).toEqual(nothing)
    const revocation = await aRevocation([own], by)
    expect(readRevocation(address, revocation, 1n, new Map())).toEqual(nothing)
  }
})

test('an installation that was revoked first has its sealing key, however old', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  reader.revocation(await aRevocation([device], 'key'))
  const { message, key } = await aGrant(device, 'key', { createdNs: 0n })
  reader.grant(message)
  expect(reader.of(device).sealingKey).toEqual(key)
})

test('a sealing key that the installation did not sign makes no grant, of either kind', async () => {
  for (const by of ['key', one] as const) {
    const reader = new Reader()
    const { message } = await aGrant(ownDevice(), by, { sealedBy: ownDevice() })
    expect(reader.grant(message)).toEqual(nothing)
  }
})

test('a newer sealing key under a confirmed grant asks nobody again, and an older one is nothing', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  const first = await aGrant(device, one, { createdNs: 5n })
  reader.grant(first.message)
  reader.confirm(first.message)
  const newer = await aGrant(device, { ...one, signature: Uint8Array.of(9) }, { createdNs: 6n })
  expect(reader.grant(newer.message).asks).toBe(false)
  expect(reader.state(device)).toBe('valid')
  expect(reader.of(device).sealingKey).toEqual(newer.key)
  for (const createdNs of [5n, 6n]) {
    const { message } = await aGrant(device, one, { createdNs })
    expect(reader.grant(message)).toEqual(nothing)
  }
})

test('a newer sealing key under a grant that is not confirmed is asked about with it', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  reader.grant((await aGrant(device, one, { createdNs: 5n })).message)
  const newer = await aGrant(device, one, { createdNs: 6n })
  expect(reader.grant(newer.message).asks).toBe(true)
  expect(reader.state(device)).toBe('unverified')
  expect(reader.of(device).sealingKey).toEqual(newer.key)
  // Another grant is asked about too, as the first may be forged; its older key is not taken.
  const older = await aGrant(device, one, { createdNs: 4n })
  expect(reader.grant(older.message)).toEqual({ updates: [], asks: true })
  reader.confirm(older.message)
  expect(reader.state(device)).toBe('valid')
  expect(reader.of(device).sealingKey).toEqual(newer.key)
})

test('where an address has a key, a contract’s word without delegation is void, before and after', async () => {
  const [byContract, byKey] = [ownDevice(), ownDevice()]
  const contract = (await aGrant(byContract, one)).message
  const key = (await aGrant(byKey, 'key')).message
  const contractFirst = new Reader()
  contractFirst.grant(contract)
  contractFirst.confirm(contract)
  expect(contractFirst.state(byContract)).toBe('valid')
  contractFirst.grant(key)
  expect(signersOf(contractFirst.account)).toEqual({ isKeyed: true, chainId: 1n })
  expect([contractFirst.state(byContract), contractFirst.state(byKey)]).toEqual([
    'unverified',
    'valid',
  ])
  const keyFirst = new Reader()
  keyFirst.grant(key)
  expect(keyFirst.grant(contract).asks).toBe(true)
  keyFirst.confirm(contract)
  expect([keyFirst.state(byContract), keyFirst.state(byKey)]).toEqual(['unverified', 'valid'])
  // Until the contract delegates, its chain may be asked.
  expect(isMoot(keyFirst.account, { kind: 'grant', chainId: 1n })).toBe(false)
})

test.each(['key first', 'contract first'])(
  'both kinds for one address, %s: the contract’s device is pending until it is vouched for',
  async (order) => {
    const [byContract, byKey] = [ownDevice(), ownDevice()]
    const contract = (await aGrant(byContract, one)).message
    const key = (await aGrant(byKey, 'key', { createdNs: 500n })).message
    const reader = new Reader()
    const grantKey = () => reader.grant(key)
    const grantContract = () => {
      expect(reader.grant(contract).asks).toBe(true)
      reader.confirm(contract, true, true)
    }
    for (const step of order === 'key first'
      ? [grantKey, grantContract]
      : [grantContract, grantKey]) {
      step()
    }
    expect([reader.state(byContract), reader.state(byKey)]).toEqual(['pending', 'valid'])
    expect(isUsable(reader.of(byContract))).toBe(false)
    expect(isMember(reader.of(byContract))).toBe(true)
    // By nobody of the account, by itself, and with another's signature: no vouch.
    expect(reader.grant(aVouch(byContract, ownDevice()))).toEqual(nothing)
    expect(reader.grant(aVouch(byContract, byContract))).toEqual(nothing)
    const forged = { ...byKey, identity: ownDevice().identity }
    expect(reader.grant(aVouch(byContract, forged))).toEqual(nothing)
    expect(reader.state(byContract)).toBe('pending')
    reader.grant(aVouch(byContract, byKey))
    expect(reader.state(byContract)).toBe('valid')
    expect(reader.grant(aVouch(byContract, byKey))).toEqual(nothing)
  },
)

test('a contract that delegates revokes a device of the key, without ever having granted one', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  reader.grant((await aGrant(device, 'key')).message)
  const revocation = await aRevocation([device], one)
  expect(reader.revocation(revocation).asks).toBe(true)
  // Not confirmed it changes nothing: a node can make it up.
  expect(reader.state(device)).toBe('valid')
  reader.confirm(revocation, false)
  expect(reader.state(device)).toBe('valid')
  reader.confirm(revocation, false, true)
  expect(reader.state(device)).toBe('revoked')
})

test('an installation is valid by the account’s key whatever was served of it before', async () => {
  const device = ownDevice()
  const contract = (await aGrant(device, one)).message
  const key = (await aGrant(device, 'key')).message
  for (const isConfirmed of [true, false]) {
    const reader = new Reader()
    reader.grant(contract)
    if (isConfirmed) reader.confirm(contract)
    reader.grant(key)
    expect(reader.state(device)).toBe('valid')
    expect(reader.of(device).chainId).toBe(0n)
  }
})

test('of two chains the first that could be verified counts', async () => {
  const [reader, a, b] = [new Reader(), ownDevice(), ownDevice()]
  const [onOne, onTwo] = [(await aGrant(a, one)).message, (await aGrant(b, two)).message]
  reader.grant(onOne)
  reader.grant(onTwo)
  expect([reader.isWorthAsking(onOne), reader.isWorthAsking(onTwo)]).toEqual([true, true])
  reader.confirm(onTwo)
  expect(reader.isWorthAsking(onOne)).toBe(false)
  reader.confirm(onOne)
  expect([reader.state(a), reader.state(b)]).toEqual(['unverified', 'valid'])
  expect(reader.grant((await aGrant(ownDevice(), one)).message)).toEqual({
    updates: [],
    asks: false,
  })
})

test('a revocation that is not confirmed leaves its installation unverified, and no loss is told', async () => {
  const [reader, phone, laptop] = [new Reader(), ownDevice(), ownDevice()]
  for (const device of [phone, laptop]) {
    const { message } = await aGrant(device, one)
    reader.grant(message)
    reader.confirm(message)
  }
  const revocation = await aRevocation([phone], one)
  expect(reader.revocation(revocation).asks).toBe(true)
  expect([reader.state(phone), reader.state(laptop)]).toEqual(['unverified', 'valid'])
  reader.revocation(await aRevocation([phone, laptop], two))
  reader.revocation(revocation)
  expect(reader.of(phone).contestedBy).toEqual([1n])
  expect([isUsable(reader.of(phone)), isMember(reader.of(phone))]).toEqual([false, true])
  expect(reader.isWorthAsking(revocation, false)).toBe(true)
  reader.confirm(revocation, false)
  expect([reader.state(phone), reader.state(laptop)]).toEqual(['revoked', 'valid'])
  expect(isMember(reader.of(phone))).toBe(false)
  // Final: a newer key does not bring it back.
  reader.grant((await aGrant(phone, one, { createdNs: 9n })).message)
  expect(reader.state(phone)).toBe('revoked')
  expect(reader.revocation(await aRevocation([phone], one))).toEqual(nothing)
})

test('a revocation that came before the grant is not forgotten', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  const revocation = await aRevocation([device], one)
  reader.revocation(revocation)
  expect(reader.state(device)).toBe('unknown')
  expect(reader.isWorthAsking(revocation, false)).toBe(false)
  const { message } = await aGrant(device, one)
  reader.grant(message)
  reader.confirm(message)
  expect(reader.state(device)).toBe('unverified')
  expect(reader.isWorthAsking(revocation, false)).toBe(true)
  reader.confirm(revocation, false)
  expect(reader.state(device)).toBe('revoked')
})

test('a revocation of another chain, or of a contract where there is a key, has no say', async () => {
  const device = ownDevice()
  const byKey = new Reader()
  byKey.grant((await aGrant(device, 'key')).message)
  const undelegated = await aRevocation([device], one)
  byKey.revocation(undelegated)
  byKey.confirm(undelegated, false)
  expect(byKey.state(device)).toBe('valid')

  const onOne = new Reader()
  const { message } = await aGrant(device, one)
  onOne.grant(message)
  const onTwo = await aRevocation([device], two)
  // While the kind is open, it may be the right one.
  expect(onOne.revocation(onTwo).asks).toBe(true)
  onOne.confirm(onTwo, false)
  expect(onOne.state(device)).toBe('unverified')
  onOne.confirm(message)
  expect(onOne.state(device)).toBe('valid')
  onOne.confirm(onTwo, false)
  expect(onOne.state(device)).toBe('valid')
  expect(onOne.revocation(onTwo)).toEqual(nothing)

  const turned = new Reader()
  turned.revocation(await aRevocation([device], one))
  turned.grant((await aGrant(device, 'key')).message)
  expect(turned.state(device)).toBe('valid')
})

test('a revocation by the account’s key counts for every installation, and shows that there is one', async () => {
  const [reader, phone, stranger] = [new Reader(), ownDevice(), ownDevice()]
  const { message } = await aGrant(phone, one)
  reader.grant(message)
  reader.confirm(message)
  reader.revocation(await aRevocation([stranger], 'key'))
  expect(signersOf(reader.account)).toMatchObject({ isKeyed: true })
  expect([reader.state(phone), reader.state(stranger)]).toEqual(['unverified', 'revoked'])
})

test('an installation that a chain revoked stays revoked when the account key’s kind turns up', async () => {
  const [reader, phone] = [new Reader(), ownDevice()]
  const { message } = await aGrant(phone, one)
  reader.grant(message)
  reader.confirm(message)
  const revocation = await aRevocation([phone], one)
  reader.revocation(revocation)
  reader.confirm(revocation, false)
  const { revokedNs } = reader.of(phone)
  reader.grant((await aGrant(phone, 'key', { createdNs: 7n })).message)
  expect(reader.state(phone)).toBe('revoked')
  reader.revocation(await aRevocation([phone], 'key'))
  expect(reader.of(phone)).toMatchObject({ revokedNs, revokedChainId: 0n })
})

test('chain 0 is no chain: it would stand for the account’s key', async () => {
  const [reader, device] = [new Reader(), ownDevice()]
  const none = { chainId: 0n }
  expect(reader.grant((await aGrant(device, none)).message)).toEqual(nothing)
  expect(reader.revocation(await aRevocation([device], none))).toEqual(nothing)
  reader.confirm((await aGrant(device, none)).message)
  expect(reader.account.size).toBe(0)
})

test('a node that makes up revocations of nobody adds a bounded number of them', async () => {
  const reader = new Reader()
  const { message } = await aGrant(ownDevice(), one)
  reader.grant(message)
  const [someone] = [...reader.account.values()]
  if (!someone) throw new Error('it is known')
  const many = new Map(reader.account)
  for (let at = 0; many.size < 1_499; at += 1) {
    const id = `${at}`.padStart(43, 'x') as typeof someone.id
    many.set(id, { ...someone, id })
  }
  const revocation = await aRevocation([ownDevice(), ownDevice(), ownDevice()], one)
  const { updates } = readRevocation(theAddress, revocation, 1n, many)
  expect(updates).toHaveLength(1)
})

test('an account is read out of its records as it was', async () => {
  const [reader, phone, laptop, tablet] = [new Reader(), ownDevice(), ownDevice(), ownDevice()]
  for (const device of [phone, laptop]) {
    const { message } = await aGrant(device, one)
    reader.grant(message)
    reader.confirm(message)
  }
  reader.grant((await aGrant(tablet, one)).message)
  reader.revocation(await aRevocation([laptop, tablet], one))
  const gone = await aRevocation([phone], one)
  reader.revocation(gone)
  reader.confirm(gone, false)
  const records = [...reader.account.values()].map((installation) => {
    const write = installationWrite(installation)
    if (write.kind === 'delete') throw new Error('it is written')
    return tables.installations.decode(write.record.bytes)
  })
  expect([...fromRecords(theAddress, records, reader.passedNs)].sort()).toEqual(
    [...reader.account].sort(),
  )
  expect([phone, laptop, tablet].map((device) => reader.state(device))).toEqual([
    'revoked',
    'unverified',
    'unverified',
  ])
})
