//! Sealed sender (docs/protocol.md section 8): the two parts of an envelope under one HPKE context,
//! made and opened in one call each.

use ed25519_dalek::{Signer, SigningKey};
use prost::Message as _;
use sha2::{Digest, Sha256};
use vodozemac::olm::{OlmMessage, Session};
use zeroize::Zeroizing;

use crate::{
    account::Identity,
    error::Error,
    hpke::{ENC_LENGTH, Opener, Recipient, Sealer, TAG_LENGTH},
    messages::{EdDsaSignature, Envelope, Header, InboxMessage, MetadataTail, PayloadBinding},
    padding::{METADATA_LENGTH, pad_message, pad_metadata, unpad_message, unpad_metadata},
    random, session,
    wire::{Reader, Writer},
};

const INFO: &[u8] = b"padlock/seal/1";
const HEADER_DOMAIN: &[u8] = b"padlock/header/1";

/// `enc`, the padded metadata, a tag: there is no other length.
const SEALED_METADATA_LENGTH: usize = ENC_LENGTH + METADATA_LENGTH + TAG_LENGTH;

/// No part of an envelope is longer than the longest envelope (docs/protocol.md section 11).
const MAX_PART: usize = 1024 * 1024;

/// An installation id has 43 characters; the caller checks that this is one.
const MAX_INSTALLATION_ID: usize = 255;

/// The header of a message, signed before the ratchet moves.
pub struct HeaderRequest<'a> {
    /// PadlockMessageSealedMetadata with fields 1 to 4.
    pub metadata: &'a [u8],
    /// The same fields in signing form.
    pub signing_fields: &'a [u8],
    /// Field 5.
    pub is_prekey_message: bool,
    /// Field 6.
    pub session_id: &'a [u8],
}

/// An envelope between its two seals.
pub struct Sealing {
    sealer: Sealer,
    header_bytes: Vec<u8>,
}

impl Sealing {
    /// Signs the header, completes the metadata and seals it: the first part.
    pub fn begin(
        signer: &SigningKey,
        mut sealer: Sealer,
        header: &HeaderRequest<'_>,
    ) -> Result<Self, Error> {
        let signature = signer.sign(&header_to_sign(sealer.enc(), header));
        let tail = MetadataTail {
            is_prekey_message: header.is_prekey_message,
            session_id: header.session_id.to_vec(),
            header_signature: Some(EdDsaSignature { signature: signature.to_bytes().to_vec() }),
        };
        let metadata = [header.metadata, &tail.encode_to_vec()].concat();
        let first = sealer.seal(&pad_metadata(&metadata)?, &[])?;
        let sealed_metadata = [sealer.enc().as_slice(), &first].concat();
        let header_bytes = Header { sealed_metadata }.encode_to_vec();
        Ok(Self { sealer, header_bytes })
    }

    /// What the payload must name.
    pub fn header_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.header_bytes).into()
    }

    /// Seals the Olm message: the second part. Returns the serialised InboxMessage.
    pub fn finish(mut self, olm_message: &[u8]) -> Result<Vec<u8>, Error> {
        let ciphertext = self.sealer.seal(&pad_message(olm_message), &self.header_bytes)?;
        let envelope = Envelope { header_bytes: self.header_bytes, ciphertext };
        Ok(InboxMessage { v1: Some(envelope) }.encode_to_vec())
    }
}

/// The recipient's key and id, bound into every context.
pub fn info(installation_id: &[u8]) -> Result<Vec<u8>, Error> {
    if installation_id.len() <= MAX_INSTALLATION_ID {
        Ok([INFO, installation_id].concat())
    } else {
        Err(Error::Malformed)
    }
}

/// docs/protocol.md section 1: bytes follow a 4-byte length, a boolean is one byte.
pub fn header_to_sign(enc: &[u8], header: &HeaderRequest<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(384);
    let mut field = |field: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(field);
    };
    field(HEADER_DOMAIN);
    field(enc);
    bytes.extend_from_slice(header.signing_fields);
    bytes.push(u8::from(header.is_prekey_message));
    bytes.extend_from_slice(
        &u32::try_from(header.session_id.len()).unwrap_or(u32::MAX).to_be_bytes(),
    );
    bytes.extend_from_slice(header.session_id);
    bytes
}

struct SealRequest<'a> {
    state: &'a [u8],
    sealing_key: &'a [u8],
    recipient: &'a [u8],
    metadata: &'a [u8],
    signing_fields: &'a [u8],
    payloads: Vec<&'a [u8]>,
}

/// `seal`: identity, list of state, sealing key, recipient id, metadata, signing fields, payloads →
/// a result each of state, list of message, digest.
pub fn seal(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let signer = Identity::restore(request.bytes()?)?.signing_key();
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let item = SealRequest {
            state: request.bytes()?,
            sealing_key: request.bytes()?,
            recipient: request.bytes()?,
            metadata: request.bytes()?,
            signing_fields: request.bytes()?,
            payloads: request.list()?,
        };
        response.result(seal_all(&signer, &item), |response, (state, messages)| {
            response.bytes(&state);
            response.integer(messages.len());
            for message in messages {
                response.bytes(&message);
                response.bytes(&Sha256::digest(&message));
            }
        });
    }
    Ok(())
}

type SealedAll = (Zeroizing<Vec<u8>>, Vec<Vec<u8>>);

fn seal_all(signer: &SigningKey, item: &SealRequest<'_>) -> Result<SealedAll, Error> {
    let mut session = session::restore(item.state)?;
    let session_id = session::id(&session.session_id())?;
    let info = info(item.recipient)?;
    let sealing_key = item.sealing_key.try_into().map_err(|_| Error::Malformed)?;
    let messages = item.payloads.iter().map(|payload| {
        let header = HeaderRequest {
            metadata: item.metadata,
            signing_fields: item.signing_fields,
            // The header is signed before Olm encrypts, because the payload carries its hash.
            is_prekey_message: !session.has_received_message(),
            session_id: &session_id,
        };
        let sealer = Sealer::new(sealing_key, &info, &*random::bytes()?)?;
        let sealing = Sealing::begin(signer, sealer, &header)?;
        let olm_message = encrypt(&mut session, payload, &sealing.header_hash())?;
        let (is_prekey_message, olm_message) = match olm_message {
            OlmMessage::PreKey(message) => (true, message.to_bytes()),
            OlmMessage::Normal(message) => (false, message.to_bytes()),
        };
        if is_prekey_message != header.is_prekey_message {
            return Err(Error::BadState);
        }
        sealing.finish(&olm_message)
    });
    let messages = messages.collect::<Result<_, _>>()?;
    Ok((session::save(&session)?, messages))
}

fn encrypt(session: &mut Session, payload: &[u8], header_hash: &[u8]) -> Result<OlmMessage, Error> {
    if payload.len() > MAX_PART {
        return Err(Error::Malformed);
    }
    let binding = PayloadBinding { header_hash: header_hash.to_vec() };
    let plaintext = Zeroizing::new([payload, &binding.encode_to_vec()].concat());
    Ok(session.encrypt(&*plaintext)?)
}

/// `open`: secrets, installation id, list of header bytes, sealed metadata, ciphertext, shared →
/// a result each of metadata, enc, header hash, whether the second part opens, the Olm message.
pub fn open(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let secrets = request.list()?;
    let recipients = secrets.iter().map(|&secret| secret.try_into().map(Recipient::new));
    let recipients: Vec<_> = recipients.collect::<Result<_, _>>().map_err(|_| Error::Malformed)?;
    let info = info(request.bytes()?)?;
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let parts = Parts {
            header_bytes: request.bytes()?,
            sealed_metadata: request.bytes()?,
            ciphertext: request.bytes()?,
            shared: request.list()?,
        };
        response.result(open_one(&recipients, &info, &parts), |response, opened| {
            response.bytes(&opened.metadata);
            response.bytes(opened.enc);
            response.bytes(&Sha256::digest(parts.header_bytes));
            response.flag(opened.olm_message.is_ok());
            response.bytes(opened.olm_message.as_deref().unwrap_or(&[]));
        });
    }
    Ok(())
}

/// An envelope to open.
pub struct Parts<'a> {
    /// The serialised header, as received.
    pub header_bytes: &'a [u8],
    /// Its `sealed_metadata`.
    pub sealed_metadata: &'a [u8],
    /// The second part.
    pub ciphertext: &'a [u8],
    /// X25519 results computed elsewhere, one for each secret; or none.
    pub shared: Vec<&'a [u8]>,
}

/// The result of opening an envelope.
pub struct Opened<'a> {
    /// PadlockMessageSealedMetadata, unpadded.
    pub metadata: Vec<u8>,
    /// The encapsulated key.
    pub enc: &'a [u8; ENC_LENGTH],
    /// The Olm message, unpadded. A failure counts only later (docs/protocol.md section 8, step 4).
    pub olm_message: Result<Vec<u8>, Error>,
}

/// Opens both parts with the first recipient whose secret opens the first part.
pub fn open_one<'a>(
    recipients: &[Recipient],
    info: &[u8],
    parts: &Parts<'a>,
) -> Result<Opened<'a>, Error> {
    let (enc, first) = parts.sealed_metadata.split_first_chunk().ok_or(Error::Malformed)?;
    // No other length can be well padded; checked before paying for a multiplication.
    if parts.sealed_metadata.len() != SEALED_METADATA_LENGTH || parts.header_bytes.len() > MAX_PART
    {
        return Err(Error::Malformed);
    }
    if !parts.shared.is_empty() && parts.shared.len() != recipients.len() {
        return Err(Error::Malformed);
    }
    for (index, recipient) in recipients.iter().enumerate() {
        let shared = match parts.shared.get(index) {
            Some(&shared) => Zeroizing::new(shared.try_into().map_err(|_| Error::Malformed)?),
            None => recipient.shared(enc),
        };
        let mut opener = Opener::new(recipient, &shared, enc, info)?;
        if let Ok(padded) = opener.open(first, &[]) {
            let metadata = unpad_metadata(&padded)?.to_vec();
            let olm_message = open_second(&mut opener, parts);
            return Ok(Opened { metadata, enc, olm_message });
        }
    }
    Err(Error::UnsealingFailed)
}

fn open_second(opener: &mut Opener, parts: &Parts<'_>) -> Result<Vec<u8>, Error> {
    if parts.ciphertext.len() > MAX_PART {
        return Err(Error::Malformed);
    }
    let mut padded = opener.open(parts.ciphertext, parts.header_bytes)?;
    let length = unpad_message(&padded)?.len();
    padded.truncate(length);
    Ok(padded)
}
