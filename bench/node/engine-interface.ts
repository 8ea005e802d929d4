/** What the bare loop asks of a database, whichever it is. */

/** One database, its tables made by the node. Everything is on disk when a promise resolves. */
export interface Engine {
  /** Accounts, topics, prekeys, and what is to be replayed. */
  prepare(): Promise<void>
  /** So many small envelopes more, spread over the inboxes. */
  fill(envelopes: number): Promise<void>
  /** To be called before `write` when others wrote: it numbers envelopes itself. */
  refresh(): Promise<void>
  /** One transaction with so many envelopes of 1 KiB, each on the next inbox. */
  write(envelopes: number): Promise<void>
  /** One page of 500. @returns how many came. */
  read(): Promise<number>
  /** One transaction with so many prekeys taken, each of another installation. */
  claim(keys: number): Promise<void>
  close(): Promise<void>
}
