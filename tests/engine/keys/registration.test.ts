/** A registration that goes well, and every way in which it does not. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import type { Network, OutgoingEnvelope } from '../../../src/network/network.ts'
import { parseAddress } from '../../../src/protocol/ids.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  failureOf,
  freshDatabase,
  signWith,
  unreachableNode,
  until,
  untilState,
} from '../../support/engine.ts'

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
  await store.close()
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
    expect(await failureOf(world.open({ account, database, sign }))).toMatchObject({ code })
  }
  expect(await isEmpty(world, database)).toBe(true)
  expect(await published(world, contactOf(account))).toEqual([])

  await world.open({ account, database })
  expect(world.asked).toHaveLength(4)
  // Each try has keys of its own: what a wallet declined is never used.
  expect(new Set(world.asked).size).toBe(4)
  expect(await published(world, contactOf(account))).toHaveLength(1)
})

test('section 3: what another key signed, or nobody, is refused, and nothing is stored', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  for (const [sign, code] of [
    [signWith(anAccount()), 'wallet_wrong_account'],
    [async () => new Uint8Array(65), 'wallet_failed'],
  ] as const) {
    expect(await failureOf(world.open({ account, database, sign }))).toMatchObject({ code })
  }
  expect(await isEmpty(world, database)).toBe(true)
  expect(await published(world, contactOf(account))).toEqual([])
})

test('section 3: a signature that is not r, s, v is a contract account’s, whose chain must be named', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  for (const length of [63, 66, 8_192]) {
    const sign = async () => new Uint8Array(length).fill(1)
    expect(await failureOf(world.open({ account, database, sign }))).toMatchObject({
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
    await failureOf(world.open({ account, database, sign, signal: abort.signal })),
  ).toMatchObject({ code: 'aborted' })
  expect(await isEmpty(world, database)).toBe(true)
})

test('section 3: nobody is asked to sign for a node that is not there', async () => {
  const world = await anEngineWorld()
  const database = freshDatabase()
  const opening = world.open({ account: anAccount(), database, network: unreachableNode })
  expect(await failureOf(opening)).toMatchObject({ code: 'network_unavailable', retryable: true })
  expect(world.asked).toEqual([])
  expect(await isEmpty(world, database)).toBe(true)
})

/** A network whose node answers as `answer` says, first of all. */
const answeringSlowly =
  (answer: (real: Network, nth: number) => ReturnType<Network['getInfo']>) =>
  (real: Network): Network => {
    let calls = 0
    return { ...real, getInfo: () => answer(real, ++calls) }
  }

test('a node that takes its time does not keep the wallet waiting, and registers once it is there', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const isThere = Promise.withResolvers<void>()
  const network = answeringSlowly(async (real) => {
    await isThere.promise
    return real.getInfo()
  })
  const opening = world.open({ account, database: freshDatabase(), network })
  await until(() => world.asked.length === 1)
  expect(await published(world, contactOf(account))).toEqual([])
  isThere.resolve()
  const { engine } = await opening
  expect(world.asked).toHaveLength(1)
  expect((await engine.installations(undefined)).map(({ id }) => id)).toEqual([
    engine.installationId,
  ])
})

test('a node that goes away while the wallet is open is asked again until it is there, and nobody signs twice', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const isGone = Promise.withResolvers<void>()
  const network = answeringSlowly(async (real, nth) => {
    if (nth > 2) return real.getInfo()
    await isGone.promise
    throw new PadlockError('network_unavailable')
  })
  const opening = world.open({ account, database: freshDatabase(), network })
  await until(() => world.asked.length === 1)
  isGone.resolve()
  await opening
  expect(world.asked).toHaveLength(1)
  expect(await published(world, contactOf(account))).toHaveLength(1)
})

test('what the node says for good while the wallet is open ends the registration, and nothing is stored', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const isGone = Promise.withResolvers<void>()
  const network = answeringSlowly(async () => {
    await isGone.promise
    throw new PadlockError('too_many_installations')
  })
  const opening = failureOf(world.open({ account, database, network }))
  await until(() => world.asked.length === 1)
  isGone.resolve()
  expect(await opening).toMatchObject({ code: 'too_many_installations' })
  expect(await isEmpty(world, database)).toBe(true)
})

test('who gives up while the node is awaited is let go', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const end = new AbortController()
  const network = answeringSlowly(async () => {
    await new Promise<void>((resolve) => end.signal.addEventListener('abort', () => resolve()))
    throw new PadlockError('aborted')
  })
  const opening = failureOf(
    world.open({ account, database: freshDatabase(), network, signal: end.signal }),
  )
  await until(() => world.asked.length === 1)
  end.abort()
  expect(await opening).toMatchObject({ code: 'aborted' })
})

test('a publish whose answer was lost is repeated with the same bytes and without the wallet', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const lost = publishing(async (real, envelopes) => {
    await real.publish(envelopes)
    throw new PadlockError('network_unavailable')
  })
  const opening = () => world.open({ account, database, network: lost.wrap })
  expect(await failureOf(opening())).toMatchObject({ code: 'network_unavailable' })
  expect(await failureOf(opening())).toMatchObject({ code: 'network_unavailable' })

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

test('section 3: while a contract’s owners have not signed, each try asks for the same text; then it registers', async () => {
  const world = await anEngineWorld({
    chains: { ids: [5n], verify: async () => 'valid', close: () => undefined },
  })
  const account = anAccount()
  const database = freshDatabase()
  const answers = [new Uint8Array(), new Uint8Array(), new Uint8Array(130)]
  const open = () =>
    world.open({
      account,
      database,
      contractChainId: 5n,
      sign: async () => answers.shift() ?? new Uint8Array(),
    })
  for (const nth of [1, 2]) {
    expect(await failureOf(open())).toMatchObject({ code: 'wallet_incomplete', retryable: false })
    expect(world.asked).toHaveLength(nth)
  }
  expect(await published(world, contactOf(account))).toEqual([])
  const { engine } = await open()
  expect(new Set(world.asked).size).toBe(1)
  expect(await published(world, contactOf(account))).toHaveLength(1)
  await engine.close()
  // A device of its own has keys of its own again.
  expect(
    await failureOf(
      world.open({
        account,
        database: freshDatabase(),
        contractChainId: 5n,
        sign: async () => new Uint8Array(),
      }),
    ),
  ).toMatchObject({
    code: 'wallet_incomplete',
  })
  expect(new Set(world.asked).size).toBe(2)
})
