/**
 * Creates the parts of the engine, connects them, and loads what they keep in memory. A part gets
 * the parts below it, and a listener for what it reports upwards; nothing is assigned afterwards.
 */

import { type Chains, noChains } from '../chains/chains.ts'
import type { PadlockErrorCode } from '../errors.ts'
import type { Address } from '../protocol/ids.ts'
import { type ConsentListener, Consents } from './consent/consents.ts'
import { consentEffects } from './consent-effects.ts'
import { Deletion } from './deletion.ts'
import { Prekeys } from './keys/prekeys.ts'
import { SealingKeys } from './keys/sealing-keys.ts'
import { Lifecycle } from './lifecycle.ts'
import { Maintenance } from './maintenance.ts'
import { ContractAccounts } from './membership/contract-accounts.ts'
import { Directory, type DirectoryListener } from './membership/directory.ts'
import { Heads } from './membership/heads.ts'
import { isMissingAtNode } from './membership/missing-at-node.ts'
import { PendingVerifications } from './membership/pending-verification.ts'
import { ConversationList } from './messages/conversation-list.ts'
import { Conversations } from './messages/conversations.ts'
import { MessageStates } from './messages/message-states.ts'
import { MessageStream } from './messages/message-stream.ts'
import { Authentication } from './receiving/authentication.ts'
import { Decryption } from './receiving/decryption.ts'
import { Inbox, type InboxListener } from './receiving/inbox.ts'
import { ParkedSenders } from './receiving/parked-senders.ts'
import { Parking } from './receiving/parking.ts'
import { PayloadReader } from './receiving/payloads.ts'
import { RejectionCounts } from './receiving/rejection-counts.ts'
import { Seen } from './receiving/seen.ts'
import { SenderLookup } from './receiving/sender-lookup.ts'
import { SetAside } from './receiving/set-aside.ts'
import { Unsealing } from './receiving/unsealing.ts'
import { PendingRequests } from './retransmission/pending-requests.ts'
import { Requester } from './retransmission/requester.ts'
import { Responder } from './retransmission/responder.ts'
import type { Context } from './runtime/context.ts'
import { Cursors } from './runtime/cursors.ts'
import { Composer } from './sending/composer.ts'
import { DeferredDelivery } from './sending/deferred.ts'
import { Dispatch } from './sending/dispatch.ts'
import { Fanout } from './sending/fanout.ts'
import { Outbox } from './sending/outbox.ts'
import { OutboxQueue } from './sending/outbox-queue.ts'
import { Publishing } from './sending/publishing.ts'
import { Sealing } from './sending/sealing.ts'
import { Sessions } from './sessions/sessions.ts'
import { Connection } from './subscription/connection.ts'

/** The parts that the engine itself uses, and those that run in the background. */
export interface Parts {
  readonly directory: Directory
  readonly consents: Consents
  readonly conversations: Conversations
  readonly conversationList: ConversationList
  readonly stream: MessageStream
  readonly outbox: Outbox
  readonly connection: Connection
  readonly deletion: Deletion
  readonly contractAccounts: ContractAccounts
  readonly background: readonly { run(): Promise<void> }[]
}

/** Keys, membership, messages and sessions: the base of both sending and receiving. */
const makeFoundations = (
  context: Context,
  listener: DirectoryListener,
  consentListener: ConsentListener,
) => {
  const cursors = new Cursors(context.store)
  const pending = new PendingVerifications(context.store)
  const directory = new Directory(context, cursors, pending, listener)
  const consents = new Consents(context, consentListener)
  const stream = new MessageStream(context, consents)
  return {
    consents,
    stream,
    cursors,
    pending,
    directory,
    heads: new Heads(context, cursors, directory),
    conversations: new Conversations(context, consents, stream),
    conversationList: new ConversationList(context, consents),
    sessions: new Sessions(context.store),
    prekeys: new Prekeys(context),
    sealingKeys: new SealingKeys(context),
  }
}

type Foundations = ReturnType<typeof makeFoundations>

/** The parts that turn messages into envelopes and publish them. */
const makeSending = (
  context: Context,
  foundations: Foundations,
  whyUnverified: (address: Address) => PadlockErrorCode,
  onRoom: () => void,
) => {
  const { cursors, directory, sessions, heads, consents, stream } = foundations
  const { conversations, conversationList } = foundations
  const fanout = new Fanout(context, sessions, heads)
  const queue = new OutboxQueue(context.store, context.platform, {
    onReady: () => outbox.wake(),
    onRoom: () => {
      deferred.retry()
      onRoom()
    },
  })
  const dispatch = new Dispatch(context, fanout, queue)
  const deferred = new DeferredDelivery(context, {
    directory,
    fanout,
    dispatch,
    queue,
    conversationList,
  })
  const states = new MessageStates(context, consents)
  const publishing = new Publishing(context, {
    queue,
    states,
    conversations,
    directory,
    deferred,
    cursors,
    isMissingAtNode: async (installation) => {
      const isMissing = await isMissingAtNode(context, cursors, installation)
      if (isMissing) fanout.markUnreachable(installation)
      return isMissing
    },
  })
  const outbox = new Outbox(context, {
    queue,
    composer: new Composer(context, { consents, conversations, stream, queue }),
    states,
    sealing: new Sealing(context, directory, fanout, dispatch, whyUnverified),
    publishing,
  })
  return { fanout, queue, dispatch, deferred, outbox }
}

type Sending = ReturnType<typeof makeSending>

const makeRetransmission = (context: Context, foundations: Foundations, sending: Sending) => {
  const parts = { ...foundations, ...sending }
  const requester = new Requester(context, parts)
  return {
    requester,
    pendingRequests: new PendingRequests(context, new Responder(context, parts), sending.queue),
  }
}

/** The parts that process received envelopes. */
const makeReceiving = (
  context: Context,
  foundations: Foundations,
  requester: Requester,
  listener: InboxListener,
) => {
  const { cursors, directory, conversations, sessions, prekeys, sealingKeys } = foundations
  const { consents } = foundations
  const rejections = new RejectionCounts(context)
  const setAside = new SetAside(context, consents)
  const parking = new Parking(context.store)
  const seen = new Seen(context)
  const decryption = new Decryption(context, sessions, prekeys, seen)
  const lookup = new SenderLookup(context, directory, consents)
  const unsealing = new Unsealing(context, sealingKeys, rejections)
  const authentication = new Authentication(
    context,
    { directory, parking, rejections, consents },
    (addresses) => listener.onUnverified(addresses),
  )
  const shared = { directory, parking, lookup, unsealing, authentication, rejections }
  const inbox = new Inbox(
    context,
    {
      ...shared,
      cursors,
      consents,
      conversations,
      decryption,
      payloads: new PayloadReader(context, rejections, requester),
      setAside,
      requester,
    },
    listener,
  )
  const parkedSenders = new ParkedSenders(context, { ...shared, consents, inbox })
  return { rejections, setAside, parking, seen, inbox, parkedSenders }
}

/**
 * @param observe wraps the inbox's listener, for tests of receiving alone
 * @throws PadlockError storage_*
 */
export const assemble = async (
  context: Context,
  chains: Chains = noChains,
  observe: (listener: InboxListener) => InboxListener = (listener) => listener,
) => {
  const { account, status } = context
  const warnOf = (error: unknown) => status.warnOf(error)
  const foundations = makeFoundations(
    context,
    {
      gained: (installations, commit) => deferred.gained(installations, commit),
      awaitVerification: (addresses) => contractAccounts.awaitVerification(addresses),
      onUnverified: () => contractAccounts.wake(),
      onChange: (address) => {
        fanout.markAccountReachable(address)
        deferred.retry()
        outbox.retry(address)
        if (address === account.address) void lifecycle.checkOwn()
        // Before that, both are done for all accounts once, when the backlog is read.
        if (status.current.state === 'live') {
          directory.rememberRevoked().catch(warnOf)
          receiving.parkedSenders.workOffKnown(address).catch(warnOf)
        }
      },
    },
    {
      consentChange: (address, consent) => {
        const parts = { ...foundations, ...receiving, requester, deferred, outbox, connection }
        return consentEffects(context, parts, address, consent)
      },
    },
  )
  const { directory, pending } = foundations
  const contractAccounts = new ContractAccounts(context, chains, directory, pending)
  const sending = makeSending(
    context,
    foundations,
    (address) => contractAccounts.whyUnverified(address),
    () => pendingRequests.retry(),
  )
  const { fanout, deferred, outbox } = sending
  const { requester, pendingRequests } = makeRetransmission(context, foundations, sending)
  const receiving = makeReceiving(
    context,
    foundations,
    requester,
    observe({
      onUnverified: (addresses) => contractAccounts.need(addresses),
      onParked: () => receiving.parkedSenders.onParked(),
      onAuthentic: (sender) => {
        const { sessions, consents } = foundations
        if (sessions.hasManyRequests) {
          const accepted = (addresses: Iterable<Address>) => consents.allowed(addresses)
          sessions.pruneRequests(accepted, context.ratchetLock).catch(warnOf)
        }
        fanout.markReachable(sender)
        outbox.retry(sender.address)
        deferred.retry()
        connection.want(sender.address).catch(warnOf)
      },
      onHeads: (claims) => foundations.heads.onClaims(claims),
      requestsChange: (requests) => pendingRequests.additionChange(requests),
    }),
  )
  const maintenance = new Maintenance(context, { ...foundations, ...receiving })
  const { parkedSenders } = receiving
  const live = [
    ...[outbox, maintenance, requester, pendingRequests, deferred],
    ...[contractAccounts, parkedSenders],
  ]
  const lifecycle = new Lifecycle(context, { ...foundations, ...receiving, live })
  const connection = new Connection(context, { ...foundations, ...receiving }, lifecycle)
  await Promise.all(
    [
      foundations.prekeys,
      foundations.sealingKeys,
      foundations.heads,
      directory,
      foundations.consents,
      pending,
      receiving.parking,
      outbox,
      requester,
      deferred,
      pendingRequests,
    ].map((part) => part.load()),
  )
  await lifecycle.checkOwn()
  return {
    ...foundations,
    ...sending,
    ...receiving,
    requester,
    pendingRequests,
    contractAccounts,
    connection,
    deletion: new Deletion(context, { ...foundations, ...sending }),
    background: [connection, ...live],
  }
}
