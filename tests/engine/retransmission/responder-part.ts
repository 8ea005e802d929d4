/** The responder alone, with what it needs. */

import type { KnownInstallation } from '../../../src/engine/membership/directory.ts'
import { Responder } from '../../../src/engine/retransmission/responder.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { Context } from '../../../src/engine/runtime/context.ts'
import type { Session } from '../../../src/engine/sessions/session-rules.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { put, tables } from '../../../src/store/tables.ts'
import {
  aClaimedKey,
  aDevice,
  aPartWorld,
  known,
  sendingParts,
} from '../../support/engine-context.ts'

let digests = 0
export const aDigest = (): Uint8Array => {
  const digest = new Uint8Array(32)
  new DataView(digest.buffer).setUint32(0, ++digests)
  return digest
}

const aSession = (peer: KnownInstallation, made: Session | undefined): Session => {
  if (made?.installationId !== peer.id) throw new Error('no session')
  return made
}

/** The responder alone: a peer with two sessions, and a message that was sent to it. */
export const aResponder = async () => {
  const device = aDevice()
  const bare = await aPartWorld()
  const context: Context = {
    ...bare.context,
    network: { ...bare.context.network, claimPrekeys: async () => [aClaimedKey(device)] },
  }
  const parts = sendingParts(context)
  const peer = known(device)
  parts.directory.people.set(peer.address, [peer])
  const sessions = [
    aSession(peer, await parts.fanout.prepareNew(peer)),
    aSession(peer, await parts.fanout.prepareNew(peer)),
  ] as const
  await commit(bare.store, parts.sessions.statesChange(sessions))
  const conversationId = buildConversationId(context.account.address, peer.address)
  await parts.accept(peer.address)
  /** A message that was sent at that time in one envelope for each of these. */
  const sent = async (to: readonly string[], sentMs = bare.clock.nowMs, answers = 0) => {
    const envelopes = to.map((installationId) => ({
      digest: aDigest(),
      installationId,
      messageId: `message ${digests}`,
      answers,
    }))
    await bare.store.transaction([], () => ({
      writes: [
        put(tables.sent, bare.store.nextNumber(tables.sent), { sentMs: BigInt(sentMs), envelopes }),
        ...envelopes.map(({ messageId }, nth) =>
          put(tables.messages, messageId, {
            messageId,
            conversationId,
            composedNs: 1_000n + BigInt(nth),
            content: new TextEncoder().encode(messageId),
          }),
        ),
      ],
      result: undefined,
    }))
    return envelopes
  }
  const responder = new Responder(context, parts)
  const ask = (
    asked: readonly Uint8Array[],
    given: {
      from?: KnownInstallation
      on?: Session
      restChange?: Parameters<Responder['answer']>[1]
      at?: Responder
    } = {},
  ) =>
    (given.at ?? responder).answer(
      {
        from: given.from ?? peer,
        sessionId: (given.on ?? sessions[0]).sessionId,
        digests: asked,
      },
      given.restChange,
    )
  /** Digests that were answered, in order. */
  const answered = () =>
    parts.fanout.calls.flatMap(({ messages }) =>
      messages.map(({ retransmits }) => encodeHex(retransmits ?? new Uint8Array())),
    )
  const sentRecords = async () =>
    (await bare.store.scan(tables.sent, { after: 0, limit: 1_000 })).rows.map(({ value }) => value)
  bare.committed.length = 0
  return {
    ...bare,
    get waits() {
      return bare.waits
    },
    context,
    parts,
    peer,
    sessions,
    conversationId,
    sent,
    responder,
    ask,
    answered,
    sentRecords,
  }
}
