/**
 * The installations of a run: real keys, so that their owners can prove to be it, the same ones in every
 * process. Most get envelopes and give out prekeys; the last few have envelopes to be replayed.
 */
import { TestInstallation, testAccount } from '../../tests/node/support.ts'

/** Inboxes that are published to, in turn. */
export const inboxCount = 10_000
/** Inboxes that are replayed, each with so many envelopes of 1 KiB. */
const replayInboxes = 4
export const replayEnvelopes = 2_500
/** One-time prekeys of each installation. */
export const oneTimeKeys = 50
/** Bytes of a published and of a replayed message. */
export const messageBytes = 1_024
/** Bytes of the messages that a store is filled with. */
export const filledBytes = 128

// All belong to one account, whose wallet signs nothing here.
const account = testAccount('bench')

const inboxOf = (index: number): TestInstallation => new TestInstallation(account, `bench ${index}`)

/** All of them, those to be replayed last. */
export const makeInboxes = (): readonly TestInstallation[] =>
  Array.from({ length: inboxCount + replayInboxes }, (_, index) => inboxOf(index))
