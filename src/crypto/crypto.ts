/**
 * The cryptography that the engine needs: bytes in, bytes out, nothing held between calls. States
 * (identity, session) are opaque, begin with a version byte, and are secret: they are only ever
 * stored through the vault. Calls take batches, so that a ratchet is restored once per batch. The
 * one adapter beside this file is `wasm.ts`.
 */

/** One item of a batch that failed; the others are not affected. */
export interface CryptoFailure {
  readonly ok: false
  readonly code: CryptoCode
}

export type CryptoResult<T> = (T & { readonly ok: true }) | CryptoFailure

/** Why one item failed. One code for each cause; `wasm/src/error.rs` has the same list. */
export const cryptoCodes = [
  /** A field has the wrong length, or the bytes are not what they should be. */
  'malformed',
  /** An opaque state that this release cannot read. */
  'bad_state',
  /** None of the secrets opens the first part, or the second part does not belong to it. */
  'unsealing_failed',
  /** The padding does not have the one allowed shape. */
  'bad_padding',
  /** X25519 gave the all-zero result (RFC 7748 section 6.1). */
  'non_contributory_key',
  /** A prekey message names a prekey other than the one given. */
  'missing_prekey',
  /** A prekey message's identity key is not the expected one. */
  'identity_mismatch',
  /** The Olm message's MAC does not verify. */
  'bad_mac',
  /** Decrypted before, or too old: its message key is gone. */
  'message_key_gone',
  /** The message is further ahead than a ratchet may skip. */
  'gap_too_large',
  /** The plaintext names another header: two envelopes were recombined. */
  'header_mismatch',
  /** Any other failure of the ratchet. */
  'decryption_failed',
] as const

export type CryptoCode = (typeof cryptoCodes)[number]

export interface KeyPair {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

export interface NewIdentity {
  /** Opaque state: the Olm account without prekeys. */
  readonly identity: Uint8Array
  /** 32 bytes. */
  readonly curve25519: Uint8Array
  /** 32 bytes. */
  readonly ed25519: Uint8Array
}

export interface SignatureToVerify {
  readonly ed25519: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

export interface OutboundRequest {
  /** The peer installation's Curve25519 identity key. */
  readonly identityKey: Uint8Array
  /** The claimed one-time or fallback prekey. */
  readonly prekey: Uint8Array
}

/** All payloads of one session, in order. */
export interface SealRequest {
  /** Session state. */
  readonly state: Uint8Array
  /** The recipient's X25519 sealing key. */
  readonly sealingKey: Uint8Array
  readonly recipientInstallationId: string
  /** Serialised PadlockMessageSealedMetadata with fields 1 to 4 only; the call appends 5 to 7. */
  readonly metadata: Uint8Array
  /** Fields 1 to 4 in signing form: each a 4-byte big-endian length and its bytes. */
  readonly signingFields: Uint8Array
  /** Serialised PadlockMessagePayload without header_hash; the call appends it. */
  readonly payloads: readonly Uint8Array[]
}

export interface Sealed {
  /** The session's next state. */
  readonly state: Uint8Array
  /** One for each payload: the serialised InboxMessage, and its SHA-256. */
  readonly envelopes: readonly { readonly message: Uint8Array; readonly digest: Uint8Array }[]
}

export interface EnvelopeToOpen {
  readonly headerBytes: Uint8Array
  /** The header's sealed_metadata: enc, then the first part. */
  readonly sealedMetadata: Uint8Array
  readonly ciphertext: Uint8Array
  /**
   * X25519 of each secret with `enc`, in the order of the secrets, if computed elsewhere
   * (WebCrypto, a second Worker); if absent, wasm computes it.
   */
  readonly shared?: readonly Uint8Array[]
}

export interface OpenedEnvelope {
  /** Serialised PadlockMessageSealedMetadata, unpadded; not checked further. */
  readonly metadata: Uint8Array
  /** 32 bytes: the HPKE encapsulated key, which the header signature covers. */
  readonly enc: Uint8Array
  /** SHA-256 of headerBytes. */
  readonly headerHash: Uint8Array
  /** The Olm message, or undefined if the second part does not open or is badly padded. */
  readonly olmMessage: Uint8Array | undefined
}

export interface OlmMessageToDecrypt {
  readonly olmMessage: Uint8Array
  readonly isPrekeyMessage: boolean
  readonly headerHash: Uint8Array
}

export interface PrekeyMessageParts {
  /** 32 bytes: the session that this message makes. */
  readonly sessionId: Uint8Array
  readonly identityKey: Uint8Array
  /** The receiver's public prekey that it names. */
  readonly prekey: Uint8Array
}

export interface InboundRequest {
  readonly identity: Uint8Array
  /** Secret of the prekey that the message names. */
  readonly prekeySecret: Uint8Array
  /** The sender's Curve25519 identity key. */
  readonly senderIdentityKey: Uint8Array
  readonly olmMessage: Uint8Array
  readonly headerHash: Uint8Array
}

export interface Crypto {
  /** A new Olm account without prekeys. */
  createIdentity(): NewIdentity
  /** New Curve25519 key pairs: prekeys and sealing keys. */
  createKeyPairs(count: number): readonly KeyPair[]
  /** Ed25519 signatures (RFC 8032), 64 bytes each. */
  sign(identity: Uint8Array, messages: readonly Uint8Array[]): readonly Uint8Array[]
  /** Strict: cofactorless, S < L, A and R not of small order. False also for wrong lengths. */
  verify(signatures: readonly SignatureToVerify[]): readonly boolean[]
  /** SHA-256 of each. */
  digest(messages: readonly Uint8Array[]): readonly Uint8Array[]
  /** HMAC-SHA-256 of each under a 32-byte key. */
  keyedHash(key: Uint8Array, messages: readonly Uint8Array[]): readonly Uint8Array[]
  /** HKDF-SHA-256 (RFC 5869) without salt: 32 bytes. */
  deriveKey(key: Uint8Array, info: string): Uint8Array

  /** Olm sessions (config v1) to peers, from a claimed prekey each. */
  createOutboundSessions(
    identity: Uint8Array,
    requests: readonly OutboundRequest[],
  ): readonly CryptoResult<{ readonly state: Uint8Array; readonly sessionId: Uint8Array }>[]
  /** Signs, pads, encrypts and seals. A failed request leaves its session as it was. */
  seal(identity: Uint8Array, requests: readonly SealRequest[]): readonly CryptoResult<Sealed>[]
  /**
   * Opens both parts of each envelope; `secrets` are tried in order. Fails only if the first part
   * does: the second counts later (docs/protocol.md section 8).
   */
  open(
    secrets: readonly Uint8Array[],
    installationId: string,
    envelopes: readonly EnvelopeToOpen[],
  ): readonly CryptoResult<OpenedEnvelope>[]
  /** Reads the cleartext parts of prekey messages. */
  inspectPrekeyMessages(
    olmMessages: readonly Uint8Array[],
  ): readonly CryptoResult<PrekeyMessageParts>[]
  /**
   * Makes the session that a prekey message starts, and decrypts the message. A failure uses up
   * nothing.
   */
  createInboundSession(request: InboundRequest): CryptoResult<{
    readonly state: Uint8Array
    readonly sessionId: Uint8Array
    readonly payload: Uint8Array
  }>
  /**
   * Decrypts messages of one session, in order. A failed message leaves the session unchanged. A
   * plaintext that is not protobuf at all is returned as is; the caller rejects it.
   */
  decrypt(
    state: Uint8Array,
    messages: readonly OlmMessageToDecrypt[],
  ): CryptoResult<{
    readonly state: Uint8Array
    readonly results: readonly CryptoResult<{ readonly payload: Uint8Array }>[]
  }>

  /** XChaCha20-Poly1305 with a fresh random nonce, which the result begins with. */
  vaultSeal(
    key: Uint8Array,
    records: readonly { readonly plaintext: Uint8Array; readonly associatedData: Uint8Array }[],
  ): readonly Uint8Array[]
  /** undefined for each record that is not authentic. */
  vaultOpen(
    key: Uint8Array,
    records: readonly { readonly sealed: Uint8Array; readonly associatedData: Uint8Array }[],
  ): readonly (Uint8Array | undefined)[]
}

/**
 * Curve arithmetic that the platform does faster than wasm, for high volume. Asynchronous, so never
 * inside a storage transaction. The adapter is `webcrypto.ts`.
 */
export interface Curves {
  /**
   * X25519 of one secret with each public key; 32 zero bytes where there is no usable result, which
   * `Crypto.open` refuses. Undefined if the platform does not accept this secret.
   */
  agree(
    secret: Uint8Array,
    publicKeys: readonly Uint8Array[],
  ): Promise<readonly Uint8Array[] | undefined>
  /**
   * Ed25519 by RFC 8032, possibly laxer than `Crypto.verify`: use it only with keys that once
   * passed the strict check, and never for what is stored for others (docs/protocol.md section 1).
   */
  verify(signatures: readonly SignatureToVerify[]): Promise<readonly boolean[]>
}
