/** A registration that goes well, and every way in which it does not. */

import { expect, test } from 'vitest'
import { PadlockError, type PadlockErrorCode } from '../../../src/errors.ts'
import type { Network, OutgoingEnvelope } from '../../../src/network/network.ts'
import { browserPlatform } from '../../../src/platform/browser.ts'
import { parseAddress, parseInstallationId } from '../../../src/protocol/ids.ts'
import { contactTopic, prekeyTopic } from '../../../src/protocol/topics.ts'
import type { Store } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  neverAnswers,
  signWith,
  untilState,
} from '../../support/engine.ts'

const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: unknown) => error,
  )

const contactOf = (account: { readonly address: string }): string => {
  const address = parseAddress(account.address)
  if (!address.ok) throw new Error('an address')
  return contactTopic(address.value)
}

const published = async (world: EngineWorld, topic: string): Promise<readonly Uint8Array[]> => {
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  return envelopes.map(({ message }) => message)
}

const isEmpty = async (world: EngineWorld, database: string): Promise<boolean> => {
  const store = await world.openStore(database)
  const rows = await store.all(tables.identity)
  store.close()
  return rows.length === 0
}

/** A network whose publish does this; `sent` is what it was given. */
const publishing = (
  publish: (
    real: Network,
    envelopes: readonly OutgoingEnvelope[],
  ) => ReturnType<Network['publish']>,
) => {
  const sent: (readonly OutgoingEnvelope[])[] = []
  return {
    sent,
    wrap: (real: Network): Network => ({
      ...real,
      publish: (envelopes) => {
        sent.push(envelopes)
        return publish(real, envelopes)
      },
    }),
  }
}

const unreachable = (real: Network): Network => {
  const fail = async () => {
    throw new PadlockError('network_unavailable')
  }
  return { ...real, getInfo: fail, publish: fail, query: fail, claimPrekeys: fail }
}

test('section 3: a new installation is granted by one signature, published, and live', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const opened = await world.open({ account, database: freshDatabase() })
  expect(opened.engine.address).toBe(account.address)
  expect(world.asked).toHaveLength(1)
  expect(world.asked[0]).toMatch(/^XMTP: Grant Messaging Access\n/)
  expect(world.asked[0]).toContain(`Account Address: ${account.address.toLowerCase()}\n`)
  expect(await published(world, contactOf(account))).toHaveLength(1)
  expect(await untilState(opened, 'live')).toBe('live')
  const [installation] = await opened.engine.installations(undefined)
  expect(installation).toMatchObject({
    id: opened.engine.installationId,
    address: account.address,
    isThis: true,
    state: 'valid',
  })
})

test('section 3: a wallet that says no leaves nothing behind, and the next try works', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  for (const code of ['wallet_rejected', 'wallet_failed', 'wallet_wrong_account'] as const) {
    const sign = () => Promise.reject(new PadlockError(code))
    expect(await failure(world.open({ account, database, sign }))).toMatchObject({ code })
  }
  expect(await isEmpty(world, database)).toBe(true)
  expect(await published(world, contactOf(account))).toEqual([])

  await world.open({ account, database })
  expect(world.asked).toHaveLength(4)
  // Each try has keys of its own: what a wallet declined is never used.
  expect(new Set(world.asked).size).toBe(4)
  expect(await published(world, contactOf(account))).toHaveLength(1)
})

test('section 3: a signature of another key is wallet_wrong_account, and nothing is stored', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  for (const sign of [signWith(anAccount()), async () => new Uint8Array(65)]) {
    expect(await failure(world.open({ account, database, sign }))).toMatchObject({
      code: 'wallet_wrong_account',
    })
  }
  expect(await isEmpty(world, database)).toBe(true)
  expect(await published(world, contactOf(account))).toEqual([])
})

test('section 3: a signature that is not r, s, v is a contract account’s, whose chain must be named', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  for (const length of [0, 64, 66, 8_192]) {
    const sign = async () => new Uint8Array(length).fill(1)
    expect(await failure(world.open({ account, database, sign }))).toMatchObject({
      code: 'invalid_argument',
    })
  }
  expect(await isEmpty(world, database)).toBe(true)
})

test('section 3: a signature with v of 0 or 1 is as good as one with 27 or 28', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const sign = async (text: string, signal: AbortSignal) => {
    const signature = await signWith(account)(text, signal)
    signature[64] = (signature[64] ?? 0) - 27
    return signature
  }
  const { engine } = await world.open({ account, database: freshDatabase(), sign })
  expect(await engine.canMessage(account.address)).toBe(true)
})

test('a wallet that never answers can be given up, and the database is free again', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const abort = new AbortController()
  const opening = failure(
    world.open({
      account,
      database,
      sign: (text, signal) => {
        queueMicrotask(() => abort.abort(new PadlockError('aborted')))
        return neverAnswers(text, signal)
      },
      signal: abort.signal,
    }),
  )
  expect(await opening).toMatchObject({ code: 'aborted' })
  const waits: number[] = []
  const takeLock = (name: string, waitMs: number) => {
    waits.push(waitMs)
    return navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) throw new Error('the lock is still held')
      return { release: () => undefined, lost: new Promise<void>(() => undefined) }
    })
  }
  await world.open({ account, database, platform: { takeLock } })
  expect(waits).toEqual([3_000])
  expect(world.asked).toHaveLength(2)
})

test('a signature that comes after the abort is not used', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const abort = new AbortController()
  const sign = async (text: string, signal: AbortSignal) => {
    abort.abort()
    return signWith(account)(text, signal)
  }
  expect(
    await failure(world.open({ account, database, sign, signal: abort.signal })),
  ).toMatchObject({ code: 'aborted' })
  expect(await isEmpty(world, database)).toBe(true)
})

test('section 3: nobody is asked to sign for a node that is not there', async () => {
  const world = await anEngineWorld()
  const database = freshDatabase()
  const opening = world.open({ account: anAccount(), database, network: unreachable })
  expect(await failure(opening)).toMatchObject({ code: 'network_unavailable', retryable: true })
  expect(world.asked).toEqual([])
  expect(await isEmpty(world, database)).toBe(true)
})

for (const [what, hasArrived] of [
  ['never arrived', false],
  ['arrived, but its answer did not', true],
] as const) {
  test(`a publish that ${what} is repeated with the same bytes and without the wallet`, async () => {
    const world = await anEngineWorld()
    const account = anAccount()
    const database = freshDatabase()
    const lost = publishing(async (real, envelopes) => {
      if (hasArrived) await real.publish(envelopes)
      throw new PadlockError('network_unavailable')
    })
    const opening = () => world.open({ account, database, network: lost.wrap })
    expect(await failure(opening())).toMatchObject({ code: 'network_unavailable' })
    expect(await failure(opening())).toMatchObject({ code: 'network_unavailable' })

    const good = publishing((real, envelopes) => real.publish(envelopes))
    const { engine } = await world.open({ account, database, network: good.wrap })
    expect(lost.sent[1]).toEqual(lost.sent[0])
    expect(good.sent[0]).toEqual(lost.sent[0])
    expect(world.asked).toHaveLength(1)
    expect(await published(world, contactOf(account))).toHaveLength(1)
    expect((await engine.installations(undefined)).map(({ id }) => id)).toEqual([
      engine.installationId,
    ])
  })
}

test('section 3: a registration that the node refuses has the node’s code, and can be tried again', async () => {
  const world = await anEngineWorld()
  const codes: readonly PadlockErrorCode[] = [
    'too_many_installations',
    'clock_ahead',
    'rate_limited',
    'unavailable',
  ]
  for (const code of codes) {
    const account = anAccount()
    const database = freshDatabase()
    const asked = world.asked.length
    const refusing = publishing(() => Promise.reject(new PadlockError(code)))
    expect(await failure(world.open({ account, database, network: refusing.wrap }))).toMatchObject({
      code,
    })
    const good = publishing((real, envelopes) => real.publish(envelopes))
    await world.open({ account, database, network: good.wrap })
    expect(good.sent[0]).toEqual(refusing.sent[0])
    expect(world.asked.length - asked).toBe(1)
  }
})

test('section 3: keys that a node will never take are forgotten: the next try makes new ones', async () => {
  const world = await anEngineWorld()
  for (const code of ['revoked', 'wrong_address', 'wrong_signature_kind'] as const) {
    const account = anAccount()
    const database = freshDatabase()
    const refusing = publishing(() => Promise.reject(new PadlockError(code)))
    expect(await failure(world.open({ account, database, network: refusing.wrap }))).toMatchObject({
      code,
    })
    expect(await isEmpty(world, database)).toBe(true)
    const good = publishing((real, envelopes) => real.publish(envelopes))
    await world.open({ account, database, network: good.wrap })
    expect(good.sent[0]).not.toEqual(refusing.sent[0])
  }
})

test('section 2: an installation that exists opens without network and without wallet', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database })
  const { installationId } = first.engine
  await first.engine.close()

  const again = await world.open({ account, database, network: unreachable })
  expect(again.engine.installationId).toBe(installationId)
  expect(await untilState(again, 'offline')).toBe('offline')
  expect(world.asked).toHaveLength(1)
})

test('section 2: a database belongs to one account, and stays usable to it', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const { engine } = await world.open({ account, database })
  await engine.close()
  expect(await failure(world.open({ account: anAccount(), database }))).toMatchObject({
    code: 'other_account',
  })
  expect(world.asked).toHaveLength(1)
  const again = await world.open({ account, database })
  expect(again.engine.installationId).toBe(engine.installationId)
})

test('a database that is open elsewhere is storage_in_use after three seconds', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const { engine } = await world.open({ account, database })
  const waits: number[] = []
  const opening = world.open({
    account,
    database,
    platform: {
      takeLock: (name, waitMs) => {
        waits.push(waitMs)
        return browserPlatform.takeLock(name, 20)
      },
    },
  })
  expect(await failure(opening)).toMatchObject({ code: 'storage_in_use', retryable: true })
  expect(waits).toEqual([3_000])

  // One that closes within that time hands over.
  const handedOver = world.open({ account, database })
  await engine.close()
  expect((await handedOver).engine.installationId).toBe(engine.installationId)
})

test('section 2: secrets are stored before their public halves leave', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const calls: string[] = []
  let opened: Store | undefined
  const network = (real: Network): Network => ({
    ...real,
    getInfo: (signal) => {
      if (calls.length < 10) calls.push('getInfo')
      return real.getInfo(signal)
    },
    publish: async (envelopes, signal) => {
      // What lies in the database at this moment, not what was handed to it.
      const identity = (await opened?.get(tables.identity, 'identity'))?.value
      const sealing = (await opened?.get(tables.sealing, 'sealing'))?.value
      const prekeys = (await opened?.get(tables.prekeys, 'prekeys'))?.value
      calls.push('publish')
      const id = parseInstallationId(envelopes[1]?.topic.replace('prekey-', '') ?? '')
      expect(id.ok && envelopes[1]?.topic === prekeyTopic(id.value)).toBe(true)
      expect(envelopes.map(({ message }) => message)).toEqual([
        identity?.contactBundle,
        identity?.prekeyUpload,
      ])
      expect(identity?.registered).toBe(false)
      expect(identity?.state.length).toBeGreaterThan(0)
      expect(sealing?.secrets).toHaveLength(1)
      expect(prekeys?.oneTime).toHaveLength(50)
      expect(prekeys?.fallback).toHaveLength(1)
      return real.publish(envelopes, signal)
    },
  })
  const store = (real: Store): Store => {
    opened = {
      get: (table, key) => real.get(table, key),
      list: (table, options) => real.list(table, options),
      all: (table) => real.all(table),
      scan: (table, options) => real.scan(table, options),
      nextNumber: (table) => real.nextNumber(table),
      close: () => real.close(),
      transaction: async (reads, step) => {
        const result = await real.transaction(reads, step)
        calls.push('stored')
        return result
      },
    }
    return opened
  }
  const sign = async (text: string, signal: AbortSignal) => {
    calls.push('wallet')
    return signWith(account)(text, signal)
  }
  await world.open({ account, database, network, store, sign })
  expect(calls.slice(0, 5)).toEqual(['getInfo', 'wallet', 'stored', 'publish', 'stored'])
})
