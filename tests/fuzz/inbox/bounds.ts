/** How many rows each store of a client may have that only strangers and one friend write to. */

import {
  parkedRequestsBytes,
  prunedRequestSessionsLimit,
  requestMessagesLimit,
  requestSessionsLimit,
  sessionsLimit,
} from '../../../src/protocol/limits.ts'

/** No envelope that can be parked is shorter: its metadata and the shortest Olm message are padded. */
const parkedAtLeastBytes = 900
const setAsideOfStrangers = 100
/** Names of the account's own records: a fixed set. */
const ownRecords = 16
/** The key of the vault, running numbers and the like. */
const metaRecords = 8

export interface Written {
  readonly accounts: number
  readonly installations: number
  readonly friendly: number
  readonly batches: number
}

export const boundsOf = (written: Written): Readonly<Record<string, number>> => {
  const { accounts, installations, friendly, batches } = written
  const everyone = accounts + 2
  return {
    account: ownRecords,
    meta: metaRecords,
    accounts: everyone,
    installations: installations + 2,
    conversations: everyone,
    messages: accounts * requestMessagesLimit + friendly,
    sessions: installations * (requestSessionsLimit + prunedRequestSessionsLimit) + sessionsLimit,
    // Two topics of each account with a head for each envelope, and its own inbox.
    cursors: 2 * everyone + installations + 3,
    // Eight bytes for each envelope that was decrypted, in one row for each batch.
    seen: batches + 1,
    parked: Math.ceil(parkedRequestsBytes / parkedAtLeastBytes),
    setAside: setAsideOfStrangers,
    recovery: installations,
  }
}
