//! The repository's vectors (`tests/vectors/`), where the rule is in this crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use ed25519_dalek::SigningKey;
use padlock_wasm::{
    account::is_signed_strictly,
    error::Error,
    hpke::{Recipient, Sealer},
    messages::{EdDsaSignature, InboxMessage},
    padding::{pad_message, pad_metadata, padme, unpad_message, unpad_metadata},
    seal::{HeaderRequest, Opened, Parts, Sealing, header_to_sign, info, open_one},
    session::check_header_hash,
};
use prost::Message as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{cases, data, key, text};

/// PadlockMessageSealedMetadata, which the crate itself only appends to.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    sender_user_address: String,
    #[prost(string, tag = "2")]
    sender_installation_id: String,
    #[prost(string, tag = "3")]
    recipient_user_address: String,
    #[prost(string, tag = "4")]
    recipient_installation_id: String,
    #[prost(bool, tag = "5")]
    is_prekey_message: bool,
    #[prost(bytes = "vec", tag = "6")]
    session_id: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    header_signature: Option<EdDsaSignature>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "1")]
    sent_ns: u64,
    #[prost(bytes = "vec", tag = "2")]
    sealed_metadata: Vec<u8>,
}

impl Metadata {
    fn of(fields: &Value) -> Self {
        Self {
            sender_user_address: text(&fields["sender_user_address"]).into(),
            sender_installation_id: text(&fields["sender_installation_id"]).into(),
            recipient_user_address: text(&fields["recipient_user_address"]).into(),
            recipient_installation_id: text(&fields["recipient_installation_id"]).into(),
            is_prekey_message: fields["is_prekey_message"].as_bool().unwrap(),
            session_id: data(&fields["session_id"]),
            header_signature: fields
                .get("header_signature")
                .map(|signature| EdDsaSignature { signature: data(&signature["signature"]) }),
        }
    }

    /// Fields 1 to 4, as a caller of `seal` serialises them.
    fn without_tail(&self) -> Vec<u8> {
        Self {
            is_prekey_message: false,
            session_id: vec![],
            header_signature: None,
            ..self.clone()
        }
        .encode_to_vec()
    }

    fn signing_fields(&self) -> Vec<u8> {
        [
            &self.sender_user_address,
            &self.sender_installation_id,
            &self.recipient_user_address,
            &self.recipient_installation_id,
        ]
        .iter()
        .flat_map(|field| {
            let length = u32::try_from(field.len()).unwrap().to_be_bytes();
            [length.as_slice(), field.as_bytes()].concat()
        })
        .collect()
    }
}

#[test]
fn padme_rounds_as_the_vectors_say() {
    for case in cases("padding", "padme") {
        let length = text(&case["input"]["length"]).parse().unwrap();
        assert_eq!(padme(length).to_string(), text(&case["output"]), "{}", case["name"]);
    }
}

type Apply<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, Error>;

#[test]
fn padding_and_unpadding_give_what_the_vectors_say() {
    let run = |op: &str, apply: Apply<'_>| {
        for case in cases("padding", op) {
            let result = apply(&data(&case["input"]["data"]));
            match case.get("output") {
                None => assert!(result.is_err(), "{}", case["name"]),
                Some(output @ Value::Object(_)) => {
                    let result = result.unwrap();
                    assert_eq!(result.len().to_string(), text(&output["length"]));
                    let digest: [u8; 32] = Sha256::digest(&result).into();
                    assert_eq!(digest, key(&output["sha256"]), "{}", case["name"]);
                }
                Some(output) => assert_eq!(result.unwrap(), data(output), "{}", case["name"]),
            }
        }
    };
    run("pad_metadata", &|bytes| pad_metadata(bytes));
    run("unpad_metadata", &|bytes| unpad_metadata(bytes).map(<[u8]>::to_vec));
    run("pad_message", &|bytes| Ok(pad_message(bytes)));
    run("unpad_message", &|bytes| unpad_message(bytes).map(<[u8]>::to_vec));
}

#[test]
fn strict_verification_accepts_and_refuses_as_the_vectors_say() {
    for case in cases("signing", "verify_strict") {
        let input = &case["input"];
        let is_signed = is_signed_strictly(
            &data(&input["public_key"]),
            &data(&input["message"]),
            &data(&input["signature"]),
        );
        assert_eq!(is_signed, case.get("output").is_some(), "{}", case["name"]);
    }
}

#[test]
fn headers_are_signed_over_the_bytes_of_the_vectors() {
    for case in cases("signing", "header") {
        let (input, output) = (&case["input"], &case["output"]);
        let metadata = Metadata::of(input);
        let to_sign = header_to_sign(
            &key(&input["enc"]),
            &HeaderRequest {
                metadata: &[],
                signing_fields: &metadata.signing_fields(),
                is_prekey_message: metadata.is_prekey_message,
                session_id: &metadata.session_id,
            },
        );
        assert_eq!(to_sign, data(&output["bytes_to_sign"]), "{}", case["name"]);
        let (public, signature) = (data(&output["public_key"]), data(&output["signature"]));
        assert!(is_signed_strictly(&public, &to_sign, &signature), "{}", case["name"]);
    }
}

#[test]
fn sealing_gives_every_value_of_the_vectors() {
    for case in cases("sealing", "seal") {
        let (input, output, name) = (&case["input"], &case["output"], &case["name"]);
        let metadata = Metadata::of(&input["metadata"]);
        let info = info(metadata.recipient_installation_id.as_bytes()).unwrap();
        assert_eq!(info, data(&output["info"]), "{name}");
        let sealer =
            Sealer::new(&key(&input["recipient_x25519"]), &info, &key(&input["ephemeral_secret"]))
                .unwrap();
        assert_eq!(sealer.enc(), &key(&output["enc"]), "{name}");
        let header = HeaderRequest {
            metadata: &metadata.without_tail(),
            signing_fields: &metadata.signing_fields(),
            is_prekey_message: metadata.is_prekey_message,
            session_id: &metadata.session_id,
        };
        assert_eq!(
            header_to_sign(sealer.enc(), &header),
            data(&output["header_to_sign"]),
            "{name}"
        );
        assert_eq!(pad_metadata(&data(&output["metadata"])), Ok(data(&output["padded_metadata"])));
        let signer = SigningKey::from_bytes(&key(&input["sender_ed25519_seed"]));
        let sealing = Sealing::begin(&signer, sealer, &header).unwrap();
        assert_eq!(sealing.header_hash(), key(&output["header_hash"]), "{name}");

        let olm_message = data(&input["olm_message"]);
        assert_eq!(pad_message(&olm_message), data(&output["padded_olm"]), "{name}");
        let message = sealing.finish(&olm_message).unwrap();
        assert_eq!(message, data(&output["inbox_message"]), "{name}");
        let digest: [u8; 32] = Sha256::digest(&message).into();
        assert_eq!(digest, key(&output["digest"]), "{name}");

        let envelope = InboxMessage::decode(message.as_slice()).unwrap().v1.unwrap();
        assert_eq!(envelope.header_bytes, data(&output["header_bytes"]), "{name}");
        assert_eq!(envelope.ciphertext, data(&output["ciphertext"]), "{name}");
    }
}

/// Steps 1 to 4 of docs/protocol.md section 8 up to Olm: what TypeScript does around `open`.
fn receive(input: &Value, message: &[u8]) -> Result<(Metadata, [u8; 32], Vec<u8>), &'static str> {
    let rejected = "rejected";
    let envelope = InboxMessage::decode(message).map_err(|_| rejected)?.v1.ok_or(rejected)?;
    let header = Header::decode(envelope.header_bytes.as_slice()).map_err(|_| rejected)?;
    let recipients: Vec<_> = input["sealing_secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| Recipient::new(&key(secret)))
        .collect();
    let parts = Parts {
        header_bytes: &envelope.header_bytes,
        sealed_metadata: &header.sealed_metadata,
        ciphertext: &envelope.ciphertext,
        shared: vec![],
    };
    let own_id = text(&input["installation_id"]);
    let info = info(own_id.as_bytes()).unwrap();
    let opened: Opened<'_> = open_one(&recipients, &info, &parts).map_err(|_| rejected)?;

    let metadata = Metadata::decode(opened.metadata.as_slice()).map_err(|_| rejected)?;
    let is_address = |address: &str| {
        address.len() == 42
            && address.starts_with("0x")
            && !address.chars().any(|letter| letter.is_ascii_uppercase())
    };
    let is_ours = metadata.recipient_user_address == text(&input["address"])
        && metadata.recipient_installation_id == own_id;
    if !is_ours
        || !is_address(&metadata.sender_user_address)
        || metadata.sender_installation_id.len() != 43
        || metadata.session_id.len() != 32
    {
        return Err(rejected);
    }
    let to_sign = header_to_sign(
        opened.enc,
        &HeaderRequest {
            metadata: &[],
            signing_fields: &metadata.signing_fields(),
            is_prekey_message: metadata.is_prekey_message,
            session_id: &metadata.session_id,
        },
    );
    let signature = metadata.header_signature.clone().ok_or(rejected)?.signature;
    if !is_signed_strictly(&data(&input["sender_ed25519"]), &to_sign, &signature) {
        return Err(rejected);
    }
    let olm_message = opened.olm_message.map_err(|_| "undecryptable")?;
    Ok((metadata, Sha256::digest(&envelope.header_bytes).into(), olm_message))
}

#[test]
fn opening_ends_as_the_vectors_say() {
    for case in cases("sealing", "open") {
        let (input, name) = (&case["input"], &case["name"]);
        let received = receive(input, &data(&input["inbox_message"]));
        match case.get("output") {
            Some(output) => {
                let (metadata, header_hash, olm_message) = received.unwrap();
                assert_eq!(metadata, Metadata::of(&output["metadata"]), "{name}");
                assert_eq!(header_hash, key(&output["header_hash"]), "{name}");
                assert_eq!(olm_message, data(&output["olm"]), "{name}");
            }
            None => assert_eq!(received.unwrap_err(), text(&case["code"]), "{name}"),
        }
    }
}

#[test]
fn a_payload_must_name_its_header_as_the_vectors_say() {
    for case in cases("payload", "check_payload") {
        let input = &case["input"];
        let checked = check_header_hash(&data(&input["data"]), &data(&input["header_hash"]));
        // Only this rule is here; TypeScript makes every other refusal.
        let is_refused = case.get("code").is_some_and(|code| code == "undecryptable");
        assert_eq!(checked == Err(Error::HeaderMismatch), is_refused, "{}", case["name"]);
    }
}
