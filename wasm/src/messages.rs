//! The parts of the protobuf messages (docs/protocol.md section 4) that this crate writes or reads.
//! TypeScript handles the rest; field order is free, so appending is enough.

/// The message on an inbox topic.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InboxMessage {
    /// The one version.
    #[prost(message, optional, tag = "1")]
    pub v1: Option<Envelope>,
}

/// PadlockMessageEnvelope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// A serialised [`Header`].
    #[prost(bytes = "vec", tag = "1")]
    pub header_bytes: Vec<u8>,
    /// The sealed Olm message.
    #[prost(bytes = "vec", tag = "2")]
    pub ciphertext: Vec<u8>,
}

/// PadlockMessageHeader. `sent_ns` stays 0 (docs/protocol.md, D3).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    /// `enc`, then the first sealed part.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed_metadata: Vec<u8>,
}

/// The fields of PadlockMessageSealedMetadata that sealing appends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataTail {
    /// Whether the Olm message is a prekey message.
    #[prost(bool, tag = "5")]
    pub is_prekey_message: bool,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "6")]
    pub session_id: Vec<u8>,
    /// Over `enc`, fields 1 to 4 and the two above.
    #[prost(message, optional, tag = "7")]
    pub header_signature: Option<EdDsaSignature>,
}

/// 64 bytes, RFC 8032.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EdDsaSignature {
    /// R and S.
    #[prost(bytes = "vec", tag = "1")]
    pub signature: Vec<u8>,
}

/// The field of PadlockMessagePayload that binds it to its header.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PayloadBinding {
    /// SHA-256 of `header_bytes`.
    #[prost(bytes = "vec", tag = "2")]
    pub header_hash: Vec<u8>,
}
