/** The parts of the engine: made, loaded, and told of each other. */

import { type Chains, noChains } from '../chains/chains.ts'
import { parseAddress } from '../protocol/ids.ts'
import { coveredPeersLimit } from '../protocol/limits.ts'
import { tables } from '../store/tables.ts'
import { Prekeys } from './keys/prekeys.ts'
import { registerAtNode } from './keys/registration.ts'
import { repairIfRolledBack } from './keys/rollback.ts'
import { SealingKeys } from './keys/sealing-keys.ts'
import { Maintenance } from './maintenance.ts'
import { ContractAccounts } from './membership/contract-accounts.ts'
import { Directory } from './membership/directory.ts'
import { Heads } from './membership/heads.ts'
import { isMissingAtNode } from './membership/missing-at-node.ts'
import { PendingVerifications } from './membership/pending-verification.ts'
import { Conversations } from './messages/conversations.ts'
import { MessageStates } from './messages/message-states.ts'
import { Decryption } from './receiving/decryption.ts'
import { Inbox } from './receiving/inbox.ts'
import { Parking } from './receiving/parking.ts'
import { Unsealing } from './receiving/unsealing.ts'
import { PendingRequests } from './retransmission/pending-requests.ts'
import { Requester } from './retransmission/requester.ts'
import { Responder } from './retransmission/responder.ts'
import type { Context } from './runtime/context.ts'
import { Cursors } from './runtime/cursors.ts'
import { Composer } from './sending/composer.ts'
import { DeferredDelivery } from './sending/deferred.ts'
import { Fanout } from './sending/fanout.ts'
import { Outbox } from './sending/outbox.ts'
import { Sealing } from './sending/sealing.ts'
import { Sessions } from './sessions/sessions.ts'
import { Connection } from './subscription/connection.ts'

/** What the engine itself needs of them; the inbox is also driven alone, by tests of receiving. */
export interface Parts {
  readonly directory: Directory
  readonly inbox: Inbox
  readonly conversations: Conversations
  readonly outbox: Outbox
  readonly connection: Connection
  readonly upkeep: Maintenance
  readonly recovery: Requester
  readonly owed: DeferredDelivery
  readonly requests: PendingRequests
  readonly contractAccounts: ContractAccounts
}

/** Makes the parts, loads what they keep in memory, and tells them of each other. */
export const assemble = async (context: Context, chains: Chains = noChains): Promise<Parts> => {
  const { account, status } = context
  const cursors = new Cursors(context.store)
  const questions = new PendingVerifications(context.store)
  const directory = new Directory(context, cursors, questions)
  const contractAccounts = new ContractAccounts(context, chains, directory, questions)
  const conversations = new Conversations(context)
  const sessions = new Sessions(context.store)
  const prekeys = new Prekeys(context)
  const sealingKeys = new SealingKeys(context)
  const unsealing = new Unsealing(context, sealingKeys)
  const decryption = new Decryption(context, sessions, prekeys)
  const parking = new Parking(context.store)
  const heads = new Heads(context, cursors, directory)
  const fanout = new Fanout(context, sessions, heads)
  const owed = new DeferredDelivery(context, { directory, sessions, fanout })
  const outbox = new Outbox(
    context,
    new Composer(context, conversations),
    new MessageStates(context, conversations),
    directory,
    new Sealing(context, directory, sessions, fanout),
    owed,
  )
  owed.outbox = outbox
  const parts = { directory, sessions, fanout, outbox }
  const recovery = new Requester(context, parts)
  const answering = new Responder(context, parts)
  const requests = new PendingRequests(context, answering)
  const inbox = new Inbox(
    context,
    directory,
    conversations,
    cursors,
    unsealing,
    decryption,
    parking,
    recovery,
  )
  const connection = new Connection(context, cursors, directory, inbox)
  await Promise.all([
    prekeys.load(),
    sealingKeys.load(),
    inbox.load(),
    outbox.load(),
    recovery.load(),
    heads.loadReports(),
    owed.load(),
    requests.load(),
    questions.load(),
  ])

  const upkeep = new Maintenance(context, { sealingKeys, prekeys, sessions, decryption, answering })
  const isRevoked = () => status.current.state === 'revoked'
  const checkOwn = async () => {
    const own = (await directory.account(account.address)).get(account.installationId)
    if (!own || own.revokedNs === 0n) return
    status.setState('revoked')
    outbox.setOnline(false)
    upkeep.setLive(false)
    recovery.setLive(false)
    owed.setLive(false)
  }
  await checkOwn()
  let newestUploadNs = 0n
  let stockAtStart: number | undefined
  connection.peers = async () =>
    (await conversations.list(coveredPeersLimit)).flatMap(({ peer }) => {
      const address = parseAddress(peer)
      return address.ok ? [address.value] : []
    })
  connection.onStock = (left, newestCreatedNs) => {
    newestUploadNs = newestCreatedNs
    // Before it is known that this is not an older copy of itself, nothing is uploaded.
    if (status.current.state === 'live') void prekeys.onStock(left, newestCreatedNs)
    else stockAtStart = left
  }
  connection.onNode = async ({ nodeId, retentionNs }) => {
    decryption.retentionNs = retentionNs
    newestUploadNs = 0n
    stockAtStart = undefined
    if (!isRevoked()) await registerAtNode(context, prekeys, nodeId)
    const identity = await context.store.get(tables.identity, 'identity')
    inbox.readBeforeNs = identity?.value.readBeforeNs ?? 0n
  }
  connection.onCaughtUp = async () => {
    if (isRevoked()) return
    const own = { directory, sealingKeys, prekeys, sessions }
    await repairIfRolledBack(context, own, newestUploadNs, inbox.unopened)
    if (stockAtStart !== undefined) void prekeys.onStock(stockAtStart, newestUploadNs)
  }
  connection.onLive = () => {
    if (isRevoked()) return
    outbox.setOnline(true)
    upkeep.setLive(true)
    recovery.setLive(true)
    owed.setLive(true)
    contractAccounts.setLive(true)
    void heads.compare()
  }
  connection.onDown = () => {
    contractAccounts.setLive(false)
    outbox.setOnline(false)
    upkeep.setLive(false)
    recovery.setLive(false)
    owed.setLive(false)
  }
  directory.gaining = (installations, commit) => owed.gained(installations, commit)
  directory.settling = (addresses) => contractAccounts.settle(addresses)
  directory.onNeed = (addresses) => contractAccounts.need(addresses)
  directory.onQuestion = () => contractAccounts.wake()
  outbox.isUnknownAtNode = async (installation) => {
    const { address, id } = installation
    const isUnknown = await isMissingAtNode(context, cursors, address, id)
    if (isUnknown) fanout.markUnreachable(installation)
    return isUnknown
  }
  directory.onChange = (address) => {
    fanout.markAccountReachable(address)
    owed.retry()
    outbox.retry(address)
    if (address === account.address) void checkOwn()
    // Before that, everything parked is looked at once when all is read.
    if (status.current.state === 'live') {
      inbox.workOffKnown(address).catch((error: unknown) => status.warnOf(error))
    }
  }
  inbox.noteRequests = (all) => requests.note(all)
  inbox.onHeads = (claims) => heads.onClaims(claims)
  inbox.onHeard = (sender) => {
    fanout.markReachable(sender)
    outbox.retry(sender.address)
    owed.retry()
    connection.want(sender.address).catch((error: unknown) => status.warnOf(error))
  }
  return {
    directory,
    inbox,
    conversations,
    outbox,
    connection,
    upkeep,
    recovery,
    owed,
    requests,
    contractAccounts,
  }
}
