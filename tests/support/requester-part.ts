/** The requester alone, with peers whose prekeys the node gives. */

import { decodeRetransmitRequest } from '../../src/content/retransmit.ts'
import type { KnownInstallation } from '../../src/engine/membership/directory.ts'
import type {
  RetransmittedEnvelope,
  UndecryptableEnvelope,
} from '../../src/engine/retransmission/requester.ts'
import { Requester } from '../../src/engine/retransmission/requester.ts'
import { commit } from '../../src/engine/runtime/change.ts'
import type { Account, Context } from '../../src/engine/runtime/context.ts'
import type { PadlockError } from '../../src/errors.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import type { Address } from '../../src/protocol/ids.ts'
import { put, tables } from '../../src/store/tables.ts'
import { until } from './engine.ts'
import {
  aClaimedKey,
  aDevice,
  aPartWorld,
  known,
  type PartWorld,
  type SealCall,
  sendingParts,
} from './engine-context.ts'

let digests = 0
/** A digest that no other envelope has. */
export const aDigest = (): Uint8Array => {
  const digest = new Uint8Array(32)
  new DataView(digest.buffer).setUint32(0, ++digests)
  return digest
}

/** An envelope of this sender that could not be decrypted. */
export const aFailure = (
  from: KnownInstallation,
  digest = aDigest(),
  nodeNs = 7n,
): UndecryptableEnvelope => ({ from, digest, nodeNs })

/** One part alone, with peers whose prekeys the node gives. */
export const aRequester = async (
  count = 1,
  given: Partial<Context> & { database?: string } = {},
) => {
  const devices = new Map<string, Account>()
  const claims: string[][] = []
  const refuse: { error: PadlockError | undefined } = { error: undefined }
  /** What happens while the node is asked for a prekey. */
  const meanwhile: { run: () => Promise<unknown>; isEmpty: boolean } = {
    run: async () => undefined,
    isEmpty: false,
  }
  const bare = await aPartWorld(given)
  const context: Context = {
    ...bare.context,
    network: {
      ...bare.context.network,
      claimPrekeys: async (_, ids) => {
        if (refuse.error) throw refuse.error
        claims.push([...ids])
        await meanwhile.run()
        if (meanwhile.isEmpty) return []
        return ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [aClaimedKey(device)] : []
        })
      },
    },
  }
  const world: PartWorld = {
    ...bare,
    context,
    get waits() {
      return bare.waits
    },
  }
  await world.store.transaction([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: 5n, lastCreatedNs: 6n })],
    result: undefined,
  }))
  world.committed.length = 0
  const parts = sendingParts(context)
  const peers = Array.from({ length: count }, () => {
    const device = aDevice()
    devices.set(device.installationId, device)
    const peer = known(device)
    parts.directory.people.set(peer.address, [peer])
    return peer
  })
  const start = () => {
    const requester = new Requester(context, parts)
    return requester
  }
  const requester = start()
  const note = async (
    failed: readonly UndecryptableEnvelope[],
    came: readonly RetransmittedEnvelope[] = [],
    writtenTo: ReadonlySet<Address> = new Set(failed.map(({ from }) => from.address)),
  ) => {
    const noted = requester.failuresChange(failed, came, writtenTo)
    await commit(world.store, noted)
    return noted
  }
  /** Until the loop has done what there was to do. */
  const settled = () => until(() => world.waits.length > 0)
  const run = async (one = requester) => {
    void one.run()
    one.setLive(true)
    await settled()
  }
  const turn = async (ms: number) => {
    world.turn(ms)
    await settled()
  }
  return {
    world,
    parts,
    peers,
    devices,
    claims,
    refuse,
    meanwhile,
    requester,
    note,
    run,
    turn,
    settled,
    start,
  }
}

/** The digests that a request asks for. */
const askedIn = ({ messages }: SealCall): readonly Uint8Array[] => {
  const [message] = messages
  if (!message) throw new Error('no message')
  const type = {
    authorityId: 'padlock',
    typeId: 'retransmit-request',
    versionMajor: 1,
    versionMinor: 0,
  }
  const asked = decodeRetransmitRequest(type, message.content)
  if (!asked) throw new Error('not a request')
  return asked
}

export const askedOf = ({ parts }: { readonly parts: ReturnType<typeof sendingParts> }) =>
  parts.fanout.calls.map(askedIn)

export const countsOf = (
  all: { readonly parts: ReturnType<typeof sendingParts> },
  failures: readonly UndecryptableEnvelope[],
): readonly number[] => {
  const asked = askedOf(all).flat().map(encodeHex)
  return failures.map(({ digest }) => asked.filter((one) => one === encodeHex(digest)).length)
}
