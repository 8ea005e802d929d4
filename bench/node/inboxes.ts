/**
 * The installations of a run: real keys, so that owners can prove themselves, the same in every
 * process. Most receive envelopes and give out prekeys; the last few have envelopes to replay.
 */
import { TestInstallation, testAccount } from '../../tests/node/support.ts'

/** Inboxes to publish to, in turn. */
export const inboxCount = 10_000
/** Inboxes to replay, each with this many envelopes of 1 KiB. */
const replayInboxes = 4
export const replayEnvelopes = 2_500
/** One-time prekeys of each installation. */
export const oneTimeKeys = 50
/** Bytes of a published and of a replayed message. */
export const messageBytes = 1_024
/** Bytes of each message that fills a store. */
export const filledBytes = 128

// All belong to one account, whose wallet signs nothing here.
const account = testAccount('bench')

const inboxOf = (index: number): TestInstallation => new TestInstallation(account, `bench ${index}`)

/** All of them, those to replay last. */
export const makeInboxes = (): readonly TestInstallation[] =>
  Array.from({ length: inboxCount + replayInboxes }, (_, index) => inboxOf(index))
