/** An outbox over a node that answers each request as the test says, and what lies in its store. */

import type { KnownInstallation } from '../../src/engine/membership/directory.ts'
import type { Account, Context } from '../../src/engine/runtime/context.ts'
import { PadlockError, type PadlockErrorCode } from '../../src/errors.ts'
import type { OutgoingEnvelope } from '../../src/network/network.ts'
import { type Address, buildConversationId } from '../../src/protocol/ids.ts'
import { messageTopic } from '../../src/protocol/topics.ts'
import { MessageState, put, tables } from '../../src/store/tables.ts'
import { until } from './engine.ts'
import {
  aClaimedKey,
  aDevice,
  anAddress,
  aPartWorld,
  known,
  sendingParts,
} from './engine-context.ts'

type Answer = Error | undefined

/** One part alone, over a node that answers each request as the test says. */
export const anOutbox = async () => {
  const devices = new Map<string, Account>()
  const world = await aPartWorld()
  const requests: (readonly OutgoingEnvelope[])[] = []
  /** What the next requests are answered with; then each is taken. */
  const answers: Answer[] = []
  let answerTo: (request: readonly OutgoingEnvelope[]) => Answer = () => undefined
  /** What claims and look-ups fail with. */
  const refusal: { claims?: PadlockError | undefined } = {}
  let inFlight = 0
  let mostInFlight = 0
  let nodeNs = 1_000_000n
  const seenAtPublish: { readonly sealed: boolean; readonly rows: number }[][] = []
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      claimPrekeys: async (_, ids) => {
        if (refusal.claims) throw refusal.claims
        return ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [aClaimedKey(device)] : []
        })
      },
      publish: async (envelopes) => {
        inFlight += 1
        mostInFlight = Math.max(mostInFlight, inFlight)
        requests.push(envelopes)
        const stored = await world.store.scan(tables.outbox, { after: 0, limit: 100 })
        seenAtPublish.push(
          stored.rows.map(({ value }) => ({ sealed: value.sealed, rows: value.rows.length })),
        )
        await Promise.resolve()
        inFlight -= 1
        const answer = answers.shift() ?? answerTo(envelopes)
        if (answer) throw answer
        nodeNs += 1n
        return envelopes.map((_, nth) => ({ sequence: BigInt(nth + 1), nodeNs }))
      },
    },
  }
  await world.store.transaction([], () => ({
    writes: [put(tables.times, 'times', {})],
    result: undefined,
  }))
  const parts = sendingParts(context)
  const { outbox, directory } = parts
  const aPeer = (address: Address = anAddress(), count = 1): readonly KnownInstallation[] => {
    const installations = Array.from({ length: count }, () => {
      const device = aDevice(address)
      devices.set(device.installationId, device)
      return known(device)
    })
    directory.people.set(address, [...(directory.people.get(address) ?? []), ...installations])
    return installations
  }
  const conversationWith = (address: Address) =>
    buildConversationId(context.account.address, address)
  /** Something that installations say to each other, of no conversation. */
  const sayTo = async (installation: KnownInstallation) => {
    const content = new Uint8Array(3)
    const conversationId = conversationWith(installation.address)
    const message = { conversationId, content, composedNs: 1n, recipients: [installation] }
    const fresh = await parts.fanout.prepare([installation])
    await context.ratchetLock.runExclusive(() =>
      parts.dispatch.send([message], { fresh }, { writes: [] }),
    )
  }
  const run = async () => {
    await outbox.load()
    void outbox.run()
    outbox.setLive(true)
  }
  const idle = () => until(() => world.waits.length > 0)
  const message = async (id: string) =>
    (await world.store.get(tables.messages, id))?.value ?? {
      state: undefined,
      reason: undefined,
      nodeNs: undefined,
    }
  const entries = async () =>
    (await world.store.scan(tables.outbox, { after: 0, limit: 100 })).rows.map(({ value }) => value)
  const warned = (code: PadlockErrorCode) =>
    context.status.current.warnings.find((warning) => warning.code === code)?.count ?? 0
  return {
    ...world,
    context,
    ...parts,
    requests,
    refusal,
    answers,
    seenAtPublish,
    /** Larger requests are answered with this; so is nothing else. */
    refuseAbove: (bytes: number, answer: () => Answer) => {
      answerTo = (request) => {
        const sum = request.reduce((total, { message }) => total + message.length, 0)
        return sum > bytes ? answer() : undefined
      }
    },
    mostInFlight: () => mostInFlight,
    aPeer,
    conversationWith,
    sayTo,
    run,
    idle,
    message,
    entries,
    warned,
    get waits() {
      return world.waits
    },
  }
}

/** What a node refuses with, and of which envelope. */
export const refusal = (code: PadlockErrorCode, envelopeIndex?: number): PadlockError =>
  new PadlockError(code, envelopeIndex === undefined ? {} : { details: { envelopeIndex } })

/** Where a request goes. */
export const topicsOf = (request: readonly OutgoingEnvelope[] | undefined) =>
  (request ?? []).map(({ topic }) => topic)

/** Sealed rows that lie in the store, each of so many bytes. */
export const storeSealed = async (
  { store, clock, context, conversationWith }: Awaited<ReturnType<typeof anOutbox>>,
  sizes: readonly (readonly number[])[],
  sealedMs = clock.nowMs,
) => {
  const address = anAddress()
  const conversationId = conversationWith(address)
  await store.transaction([], () => ({
    writes: sizes.flatMap((rows, nth) => [
      put(
        tables.messages,
        `message ${nth}`,
        {
          messageId: `message ${nth}`,
          conversationId,
          sender: context.account.address,
          senderInstallation: context.account.installationId,
          composedNs: BigInt(nth + 1),
          content: new Uint8Array(),
          state: MessageState.PENDING,
        },
        store.nextNumber(tables.messages),
      ),
      put(tables.outbox, store.nextNumber(tables.outbox), {
        messageId: `message ${nth}`,
        conversationId,
        composedNs: BigInt(nth + 1),
        sealed: true,
        sealedMs: BigInt(sealedMs),
        rows: rows.map((size) => ({
          topic: messageTopic(`${'A'.repeat(43)}` as Parameters<typeof messageTopic>[0]),
          message: new Uint8Array(size),
          address,
        })),
      }),
    ]),
    result: undefined,
  }))
  return address
}

/** So many rows of one byte. */
export const ones = (count: number): readonly number[] => Array.from({ length: count }, () => 1)
