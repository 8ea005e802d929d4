/** An installation’s own keys as registering left them, over a node that answers as the test says. */

import { Prekeys } from '../../src/engine/keys/prekeys.ts'
import { SealingKeys } from '../../src/engine/keys/sealing-keys.ts'
import type { Context } from '../../src/engine/runtime/context.ts'
import { PadlockError, type PadlockErrorCode } from '../../src/errors.ts'
import type { OutgoingEnvelope } from '../../src/network/network.ts'
import { buildContactBundle, parseContactBundle } from '../../src/protocol/contact.ts'
import { type PrekeyUpload, parsePrekeyUpload } from '../../src/protocol/prekey.ts'
import { contactTopic, prekeyTopic } from '../../src/protocol/topics.ts'
import { put, tables } from '../../src/store/tables.ts'
import { passed } from './checked.ts'
import { aPartWorld } from './engine-context.ts'

/** An installation as registering left it, over a node that answers as the test says. */
export const aHolder = async () => {
  const world = await aPartWorld()
  const requests: OutgoingEnvelope[] = []
  /** What the next requests are answered with; then each is taken. */
  const answers: (PadlockError | undefined)[] = []
  const stored = async () => ({
    sealing: (await world.store.get(tables.sealing, 'sealing'))?.value,
    prekeys: (await world.store.get(tables.prekeys, 'prekeys'))?.value,
    times: (await world.store.get(tables.times, 'times'))?.value,
    identity: (await world.store.get(tables.identity, 'identity'))?.value,
  })
  /** What lay in the store when each request left. */
  const storedAt: Awaited<ReturnType<typeof stored>>[] = []
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      publish: async (envelopes) => {
        requests.push(...envelopes)
        storedAt.push(await stored())
        const answer = answers.shift()
        if (answer) throw answer
        return envelopes.map(() => ({ sequence: 1n, nodeNs: 1n }))
      },
    },
  }
  const { crypto, account } = context
  const createdNs = context.time.createdNs(0n)
  const [sealing, fallback, ...oneTime] = crypto
    .createKeyPairs(5)
    .map((pair) => ({ ...pair, createdNs }))
  if (!sealing || !fallback) throw new Error('no keys')
  const bundle = buildContactBundle({
    keys: account.keys,
    address: account.address,
    currentTime: '2026-11-20T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65).fill(27) },
    sealingKey: { key: sealing.publicKey, createdNs, signature: new Uint8Array(64) },
  })
  await world.store.transaction([], () => ({
    writes: [
      put(tables.identity, 'identity', { address: account.address, contactBundle: bundle }),
      put(tables.sealing, 'sealing', { secrets: [sealing] }),
      put(tables.prekeys, 'prekeys', { oneTime, fallback: [fallback] }),
      put(tables.times, 'times', { lastCreatedNs: createdNs, lastComposedNs: 5n }),
    ],
    result: undefined,
  }))
  world.committed.length = 0
  const sealingKeys = new SealingKeys(context)
  const prekeys = new Prekeys(context)
  await sealingKeys.load()
  await prekeys.load()
  const uploads = (): readonly PrekeyUpload[] =>
    requests
      .filter(({ topic }) => topic === prekeyTopic(account.installationId))
      .map(({ message }) => passed(parsePrekeyUpload(message)))
  const bundles = () =>
    requests
      .filter(({ topic }) => topic === contactTopic(account.address))
      .map(({ message }) => passed(parseContactBundle(message)))
  const again = async () => {
    const later = { sealingKeys: new SealingKeys(context), prekeys: new Prekeys(context) }
    await later.sealingKeys.load()
    await later.prekeys.load()
    return later
  }
  const warned = (code: PadlockErrorCode) =>
    context.status.current.warnings.find((warning) => warning.code === code)?.count ?? 0
  return {
    ...world,
    context,
    sealingKeys,
    prekeys,
    requests,
    answers,
    stored,
    storedAt,
    uploads,
    bundles,
    again,
    createdNs,
    first: { sealing, fallback, oneTime },
    bundle,
    warned,
    get waits() {
      return world.waits
    },
  }
}

/** No answer came. */
export const down = () => new PadlockError('network_unavailable')
