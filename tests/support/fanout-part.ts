/** Claiming prekeys and sealing for many, over a node that gives the prekeys of its recipients. */

import { commit } from '../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../src/engine/runtime/context.ts'
import type { Session } from '../../src/engine/sessions/session-rules.ts'
import type { ClaimedKey } from '../../src/network/network.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { buildConversationId } from '../../src/protocol/ids.ts'
import { aClaimedKey, aDevice, aPartWorld, known, sendingParts } from './engine-context.ts'

/** One part alone, with recipients whose prekeys the node gives as `change` leaves them. */
export const aFanout = async (count = 1) => {
  const devices = new Map<string, Account>()
  const claims: { readonly id: string; readonly ids: readonly string[] }[] = []
  const node: { change: (claimed: ClaimedKey) => ClaimedKey; isDown: boolean } = {
    change: (claimed) => claimed,
    isDown: false,
  }
  const world = await aPartWorld()
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      claimPrekeys: async (claimId, ids) => {
        claims.push({ id: encodeHex(claimId), ids: [...ids] })
        if (node.isDown) throw new Error('down')
        return ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [node.change(aClaimedKey(device))] : []
        })
      },
    },
  }
  const parts = sendingParts(context)
  const recipients = Array.from({ length: count }, () => {
    const device = aDevice()
    devices.set(device.installationId, device)
    return known(device)
  })
  const [first] = recipients
  if (!first) throw new Error('no recipient')
  const message = (to = recipients, text = 'hello') => ({
    conversationId: buildConversationId(context.account.address, first.address),
    content: new TextEncoder().encode(text),
    composedNs: 1n,
    recipients: to,
  })
  const save = async (sessions: readonly Session[]) => {
    await commit(world.store, parts.sessions.statesChange(sessions))
  }
  return {
    ...world,
    context,
    parts,
    fanout: parts.fanout,
    node,
    claims,
    recipients,
    first,
    message,
    save,
  }
}
