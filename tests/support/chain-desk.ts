/** The parts that ask chains, over one whose words the test chooses. */

import type { Chains, ContractQuestion, SignatureStatus } from '../../src/chains/chains.ts'
import { ContractAccounts } from '../../src/engine/membership/contract-accounts.ts'
import { Directory } from '../../src/engine/membership/directory.ts'
import { PendingVerifications } from '../../src/engine/membership/pending-verification.ts'
import { Cursors } from '../../src/engine/runtime/cursors.ts'
import { contactTopic, revokedTopic } from '../../src/protocol/topics.ts'
import { tables } from '../../src/store/tables.ts'
import { theAddress } from './contract-grants.ts'
import { aDevice, aPartWorld, quietDirectoryListener } from './engine-context.ts'

/** The parts that ask, over a chain whose words the test chooses. */
export const aDesk = async (
  options: {
    readonly database?: string
    readonly ids?: bigint[]
    /** Whether the account that is asked about is our own. */
    readonly isOwn?: boolean
  } = {},
) => {
  const world = await aPartWorld({
    ...(options.database && { database: options.database }),
    ...(options.isOwn && { account: aDevice(theAddress) }),
  })
  const asked: ContractQuestion[] = []
  const say = { word: async (_: ContractQuestion): Promise<SignatureStatus> => 'valid' }
  const chains: Chains = {
    ids: new Set(options.ids ?? [1n]),
    verify: (question) => {
      asked.push(question)
      return say.word(question)
    },
  }
  const cursors = new Cursors(world.store)
  cursors.setNode(new Uint8Array(16))
  const pending = new PendingVerifications(world.store)
  await pending.load()
  const listener = { ...quietDirectoryListener, onUnverified: () => accounts.wake() }
  const directory = new Directory(world.context, cursors, pending, listener)
  const accounts = new ContractAccounts(world.context, chains, directory, pending)
  let sequence = 0n
  const apply = async (topic: string, ...messages: Uint8Array[]) => {
    await directory.apply(
      messages.map((message) => ({
        topic,
        message,
        sequence: ++sequence,
        nodeNs: 100n + sequence,
      })),
    )
  }
  const states = async () =>
    [...(await directory.account(theAddress)).values()].map(({ state, revokedNs }) =>
      revokedNs > 0n ? 'revoked' : state,
    )
  return {
    ...world,
    // A getter, which spreading would read once.
    get waits() {
      return world.waits
    },
    asked,
    say,
    accounts,
    directory,
    pending,
    listener,
    states,
    grants: (...messages: Uint8Array[]) => apply(contactTopic(theAddress), ...messages),
    revocations: (...messages: Uint8Array[]) => apply(revokedTopic(theAddress), ...messages),
    kept: async () => (await world.store.scan(tables.unverified, { after: 0, limit: 100 })).rows,
    /** Runs, live; ends with the test. */
    live: () => {
      void accounts.run()
      accounts.setLive(true)
    },
  }
}
