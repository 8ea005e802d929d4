/**
 * The numbers of docs/protocol.md, sections 1 to 11, that code compares against. All are inclusive.
 */

const kib = 1024
const mib = 1024 * kib
const secondNs = 1_000_000_000n
const minuteNs = 60n * secondNs
const hourNs = 60n * minuteNs
export const dayNs = 24n * hourNs
export const minuteMs = 60_000
export const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

// Lengths of keys, hashes and signatures, in bytes.

/** A Curve25519, X25519 or Ed25519 public key. */
export const keyBytes = 32
/** An Ed25519 signature. */
export const ed25519SignatureBytes = 64
/** An EIP-191 signature: r, s, v. */
export const walletSignatureBytes = 65
/** The largest ERC-1271 signature, including an ERC-6492 wrapper. */
export const contractSignatureLimitBytes = 8 * kib
/** SHA-256: envelope digests, header hashes, heads. */
export const digestBytes = 32
/** An Olm session id. */
export const sessionIdBytes = 32
/** A node id. */
export const nodeIdBytes = 16
/** A claim id. */
export const claimIdBytes = 16
/** The HPKE encapsulated key: an X25519 public key (RFC 9180 section 7.1). */
export const encBytes = 32
/** The tag of ChaCha20-Poly1305. */
export const sealTagBytes = 16

// Padding (section 8).

/** Sealed metadata is padded to this. */
export const paddedMetadataBytes = 320
/** An Olm message is padded to this or to the next Padmé length, whichever is more. */
export const paddedMessageMinimumBytes = 512
/** enc, padded metadata and tag. */
export const sealedMetadataBytes = encBytes + paddedMetadataBytes + sealTagBytes

// Section 11.

/** One envelope of a `message-` topic. */
export const envelopeLimitBytes = mib
export const contactLimitBytes = 16 * kib
export const revocationLimitBytes = 32 * kib
export const prekeyUploadLimitBytes = 32 * kib
/** All message bytes of one publish request. */
export const requestLimitBytes = 25 * mib
/** Envelopes of one publish request. */
export const requestLimitEnvelopes = 500
/** Topics in a query or a subscription. */
export const topicsLimit = 1000
/** Peers whose contact and revoked topics a client covers by subscription. */
export const coveredPeersLimit = 400
/** Envelopes of a query page or a catch-up frame. */
export const pageLimitEnvelopes = 500
/** Message bytes of a query page or a catch-up frame; one envelope is always served. */
export const pageLimitBytes = 4 * mib
/** Installations of an account that are not revoked. */
export const installationsLimit = 100
/** Installations an account ever granted. */
export const grantedInstallationsLimit = 1000
/** content_bytes of a payload: a message after encoding, before compression is undone. */
export const contentLimitBytes = 900 * kib
/** Content after its compression is undone (section 4). */
export const inflatedContentLimitBytes = 8 * mib
/** Envelopes that are processed in one transaction; one alone may have any allowed length. */
export const batchLimitBytes = 8 * mib
/** What installations send each other and no person wrote, in the outbox at a time. */
export const internalQueueBytes = 4 * mib
/** What all sessions in memory take. */
export const sessionsInMemoryBytes = 32 * mib
/** Envelopes of unknown senders that are kept: in all, and of one address (section 8). */
export const parkedBytes = 16 * mib
export const parkedAddressBytes = 4 * mib
/** Of what claims addresses that were not accepted. */
export const parkedRequestsBytes = 8 * mib
/** Plaintexts set aside for a later release: in all, and of one account (section 8). */
export const setAsideBytes = 16 * mib
export const setAsideAddressBytes = 2 * mib
/** What the messages of one page hold, as they lie in the store and again as they are shown. */
export const pageContentLimitBytes = 4 * mib
/** Installations named in one claim (section 5). */
export const claimLimitInstallations = 200
/** Accounts of one query, two topics each: of one query for unknown senders too (section 8). */
export const lookupAddresses = 500
/** Such queries at once, after a pause. */
export const lookupQueriesAtOnce = 10
/** Sessions with one installation at any time (section 7). */
export const sessionsLimit = 20
/** Ids of removed sessions with one installation that are kept (section 7). */
export const prunedSessionsLimit = 1_000

// Accounts that were not accepted (section 9).

/** Stored messages of one such account, and their bytes. */
export const requestMessagesLimit = 50
export const requestBytesLimit = mib
/** Stored messages of all of them, and their bytes. */
export const allRequestsMessagesLimit = 5_000
export const allRequestsBytesLimit = 64 * mib
/** Sessions with one of their installations, and with all that are kept. */
export const requestSessionsLimit = 4
export const allRequestSessionsLimit = 2_000
/** Ids of removed sessions with one of their installations. */
export const prunedRequestSessionsLimit = 100
/** Of the accounts that a client covers. */
export const coveredRequestsLimit = 40
/** How long what was looked up of them is kept. */
export const strangerMemoryMs = 30 * dayMs

/** Digests named in one retransmission request (section 4). */
export const retransmitLimitDigests = 500

// Times, in nanoseconds.

/** How far ahead of the node's clock a created_ns may be (section 5). */
export const createdAheadLimitNs = 10n * minuteNs
/** How long a proof may be valid (section 11). */
export const proofLifetimeLimitNs = 10n * minuteNs
/** How long clients make their proofs valid (section 1). */
export const proofLifetimeNs = 5n * minuteNs
/** The period in which an installation's sealing keys are counted (section 5). */
export const sealingKeyWindowNs = 24n * hourNs
/** Sealing keys in that period, including the registration's. */
export const sealingKeysPerWindow = 4
/** A sealing key is replaced after this time (section 2). */
export const sealingKeyLifetimeNs = 30n * dayNs
/** The secret of an unused one-time prekey is dropped after this time (section 2). */
export const unusedPrekeyLifetimeNs = 90n * dayNs
/** A fallback prekey is replaced after this time (section 2). */
export const fallbackLifetimeNs = 7n * dayNs
/** After so long a contract's grant needs no vouch, if nobody uses the key (section 3). */
export const lateGrantNs = 72n * hourNs
/** A key whose installations made no sealing key for so long is not in use (section 3). */
export const keyOwnerSilenceNs = 35n * dayNs
/** How long a node remembers a claim (section 5). */
export const claimMemoryNs = 10n * minuteNs
/** A heartbeat comes at least this often (section 5). */
export const heartbeatNs = 25n * secondNs

// Times, in milliseconds.

/**
 * How long a message that some installation did not get, or could not decrypt, is kept for it; how long
 * an envelope waits for the chain of its sender (sections 8 and 10).
 */
export const redeliveryMs = 14 * dayMs

// Look-ups of unknown senders (section 8).

/** In the long run one query goes in this time. */
export const lookupQueryEveryMs = 3_000

// Retransmission (section 10).

/** Requests of one installation in an hour: as many are sent, and as many are answered. */
export const retransmitRequestsPerHour = 20

// Prekey stock (sections 5 and 6), in one-time keys.

/** The largest stock at a node. */
export const stockLimit = 100
/** Below this a node sends a stock notice, and a client tops up. */
export const stockMinimum = 25
/** A client tops up to this. */
export const stockTarget = 50
