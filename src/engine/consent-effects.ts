/**
 * What changes with what the person says of an account (docs/protocol.md section 9), in the same
 * transaction: its place in the lists, what is asked of it, and, if it is denied, all that is kept
 * because of it. Its sessions stay, so that nothing is lost of what it writes once it is accepted again.
 */

import type { Address } from '../protocol/ids.ts'
import { directConversation } from './messages/audience.ts'
import type { Conversations } from './messages/conversations.ts'
import type { Consent } from './model.ts'
import type { Parking } from './receiving/parking.ts'
import type { SetAside } from './receiving/set-aside.ts'
import type { Requester } from './retransmission/requester.ts'
import { type Change, joinChanges } from './runtime/change.ts'
import type { Context } from './runtime/context.ts'
import type { DeferredDelivery } from './sending/deferred.ts'
import type { Outbox } from './sending/outbox.ts'
import type { Connection } from './subscription/connection.ts'

export interface ConsentEffectsParts {
  readonly conversations: Conversations
  readonly requester: Requester
  readonly setAside: SetAside
  readonly parking: Parking
  readonly deferred: DeferredDelivery
  readonly outbox: Outbox
  readonly connection: Connection
}

/** Call this while `ratchetLock` is held. */
export const consentEffects = async (
  { account, status }: Context,
  parts: ConsentEffectsParts,
  address: Address,
  consent: Consent,
): Promise<Change> => {
  const { conversations, requester, setAside, connection } = parts
  const id = directConversation(account.address, address)
  const warnOf = (error: unknown) => status.warnOf(error)
  const listed = joinChanges(
    await conversations.consentChange(id, consent),
    requester.consentChange(address, consent),
    await setAside.consentChange(address, consent),
  )
  if (consent !== 'denied') {
    const committed = () => void connection.want(address).catch(warnOf)
    return joinChanges(listed, { writes: [], committed })
  }
  const { parking, deferred, outbox } = parts
  const parked = parking.installations([address]).flatMap((one) => parking.of(one))
  return joinChanges(listed, parking.removalChange(parked), deferred.denialChange(address), {
    writes: [],
    committed: () => {
      connection.leave(address)
      outbox.giveUp(id, 'sender_denied').catch(warnOf)
    },
  })
}
