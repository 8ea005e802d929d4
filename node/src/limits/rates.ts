/**
 * The default rates of this process for one caller, one inbox and one installation's stock. Each
 * rate has a burst: how much may come at once after a pause. A rate or limit of 0 means unlimited.
 */

export const rateDefaults = {
  /** Requests of a caller, of any kind, a second. */
  requestsPerSecond: 100,
  /** Requests at once. */
  requestsBurst: 3_000,

  /** Bytes that a caller publishes, a second; each envelope counts 256 bytes besides its message. */
  publishedBytesPerSecond: 128 * 1024,
  /** Bytes at once: five requests at their largest. */
  publishedBytesBurst: 128 * 1024 * 1024,
  /** Envelopes that a caller publishes, a second. */
  publishedEnvelopesPerSecond: 200,
  /** Envelopes at once: a dozen messages to 400 accounts with ten installations. */
  publishedEnvelopesBurst: 50_000,

  /**
   * Envelopes whose signatures the node checks, a second: grants, vouches and revocations count once, an
   * upload of prekeys three times.
   */
  signedEnvelopesPerSecond: 2,
  /** At once: some hundred devices that register behind one address. */
  signedEnvelopesBurst: 500,

  /** Envelopes that one caller publishes to one inbox, a second. */
  callerInboxEnvelopesPerSecond: 20,
  /** At once. */
  callerInboxEnvelopesBurst: 4_000,
  /** Envelopes that all callers publish to one inbox, a second, besides the shares of each. */
  inboxEnvelopesPerSecond: 200,
  /** At once. */
  inboxEnvelopesBurst: 20_000,
  /** Envelopes of each caller to one inbox, an hour, that others cannot use up. 0 means none. */
  inboxSharePerHour: 720,
  /** At once: an evening's conversation, whoever floods the inbox meanwhile. */
  inboxShareBurst: 200,

  /**
   * Queries of a caller, a second; one counts once for each 100 topics that it names, or part of
   * them, and once for each ten proofs.
   */
  queriesPerSecond: 50,
  /** At once: 200 pages over 1,000 topics. */
  queriesBurst: 2_000,

  /** Subscriptions that a caller opens, a second; one counts once, and once for each ten proofs. */
  streamsPerSecond: 5,
  /** At once. */
  streamsBurst: 500,
  /** Subscriptions of a caller that are open at a time; many people may share one address. */
  openStreams: 2_000,

  /** One-time keys that a caller claims, a second; past it there are fallback keys. */
  claimsPerSecond: 2,
  /** At once: 400 accounts with ten installations, twice. */
  claimsBurst: 10_000,
  /** Installations that a caller names in claims, a second, whatever key they give. */
  claimedInstallationsPerSecond: 20,
  /** At once: 400 accounts with ten installations, twice, with retries. */
  claimedInstallationsBurst: 50_000,
  /** One-time keys of one installation that one caller claims, an hour. */
  callerTargetClaimsPerHour: 1,
  /** At once: a person's devices behind one address. */
  callerTargetClaimsBurst: 10,
  /** One-time keys of one installation that all callers of all processes claim, an hour. */
  targetClaimsPerHour: 60,
  /** At once. */
  targetClaimsBurst: 50,

  /** Questions to chains that a caller's envelopes cause, a second. */
  chainQuestionsPerSecond: 1,
  /** At once. */
  chainQuestionsBurst: 100,
}

/** A number for each rate. */
export type Rates = Readonly<typeof rateDefaults>
