/** Deferred delivery alone, with the account of a peer. */

import type { KnownInstallation } from '../../src/engine/membership/directory.ts'
import type { Change } from '../../src/engine/runtime/change.ts'
import { commit } from '../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../src/engine/runtime/context.ts'
import { type Address, buildConversationId } from '../../src/protocol/ids.ts'
import { messageTopic } from '../../src/protocol/topics.ts'
import type { Write } from '../../src/store/store.ts'
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

/** One part alone, with a peer's account; `gone` are devices whose prekeys the node does not give. */
export const aDeferral = async () => {
  const devices = new Map<string, Account>()
  const gone = new Set<string>()
  const world = await aPartWorld()
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      claimPrekeys: async (_, ids) =>
        ids.flatMap((id) => {
          const device = devices.get(id)
          return device && !gone.has(id) ? [aClaimedKey(device)] : []
        }),
    },
  }
  const parts = sendingParts(context)
  const peer = anAddress()
  const own = context.account.address
  const conversationId = buildConversationId(own, peer)
  const aDeviceOf = (address: Address, firstSeenNs = 1n): KnownInstallation => {
    const device = aDevice(address)
    devices.set(device.installationId, device)
    const installation = known(device, { firstSeenNs })
    parts.directory.people.set(address, [
      ...(parts.directory.people.get(address) ?? []),
      installation,
    ])
    return installation
  }
  const write = (writes: readonly Write[]) =>
    world.store.transaction([], () => ({ writes, result: undefined }))
  /** A message of one's own, or of another device, that the node has since then; 0: pending. */
  const aMessage = async (
    messageId: string,
    nodeNs: bigint,
    given: { bytes?: number; senderInstallation?: string; conversation?: string } = {},
  ) =>
    write([
      put(
        tables.messages,
        messageId,
        {
          messageId,
          conversationId: given.conversation ?? conversationId,
          sender: own,
          senderInstallation: given.senderInstallation ?? context.account.installationId,
          composedNs: nodeNs,
          nodeNs,
          content: new Uint8Array(given.bytes ?? 3),
          state: nodeNs === 0n ? MessageState.PENDING : MessageState.SENT,
        },
        world.store.nextNumber(tables.messages),
      ),
    ])
  const save = (more: Change) => commit(world.store, more)
  const deferrals = async () =>
    (await world.store.scan(tables.owed, { after: 0, limit: 20_000 })).rows.map(({ value }) => ({
      messageId: value.messageId,
      to: value.installationId,
    }))
  /** A message that was published to these. */
  const published = (messageId: string, nodeNs: bigint, to: readonly KnownInstallation[] = []) =>
    parts.deferred.published(
      [
        {
          messageId,
          conversationId,
          nodeNs,
          topics: new Set(to.map(({ id }) => messageTopic(id))),
        },
      ],
      save,
    )
  const run = async () => {
    void parts.deferred.run()
    parts.deferred.setLive(true)
    await until(() => world.waits.length > 0)
  }
  const settled = (): Promise<void> => until(() => world.waits.length > 0)
  /** What was sealed, call by call. */
  const sealed = () =>
    parts.fanout.calls.map(({ messages }) => messages.map(({ composedNs }) => composedNs))
  return {
    ...world,
    context,
    parts,
    gone,
    peer,
    own,
    conversationId,
    aDeviceOf,
    aMessage,
    write,
    save,
    deferrals,
    published,
    run,
    settled,
    sealed,
    get waits() {
      return world.waits
    },
  }
}
