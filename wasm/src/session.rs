//! Olm sessions: made, restored, used and saved within one call.

use prost::Message as _;
use vodozemac::{
    Curve25519PublicKey, base64_decode,
    olm::{OlmMessage, PreKeyMessage, Session, SessionConfig, SessionPickle},
};
use zeroize::Zeroizing;

use crate::{
    account::Identity,
    error::Error,
    messages::PayloadBinding,
    state,
    wire::{Reader, Writer},
};

/// No Olm message is longer than the longest envelope (docs/protocol.md section 11).
const MAX_OLM_MESSAGE: usize = 1024 * 1024;

/// A session from its stored state.
pub fn restore(stored: &[u8]) -> Result<Session, Error> {
    state::read::<SessionPickle>(stored).map(Session::from_pickle)
}

/// The state to store.
pub fn save(session: &Session) -> Result<Zeroizing<Vec<u8>>, Error> {
    state::write(&session.pickle())
}

/// The 32 bytes that vodozemac gives in base64.
pub fn id(session_id: &str) -> Result<Vec<u8>, Error> {
    base64_decode(session_id).map_err(|_| Error::BadState)
}

/// `createOutboundSessions`: identity, list of identity key, prekey → a result each of state, id.
pub fn create_outbound(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let account = Identity::restore(request.bytes()?)?.account(None)?;
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let (identity_key, prekey) = (request.bytes()?, request.bytes()?);
        let made = || {
            let session = account.create_outbound_session(
                SessionConfig::version_1(),
                public_key(identity_key)?,
                public_key(prekey)?,
            )?;
            Ok((save(&session)?, id(&session.session_id())?))
        };
        response.result(made(), |response, (state, id)| {
            response.bytes(&state);
            response.bytes(&id);
        });
    }
    Ok(())
}

/// `inspectPrekeyMessages`: messages → a result each of session id, identity key, prekey.
pub fn inspect_prekey(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let bytes = request.bytes()?;
        let inspected = || {
            let message = prekey_message(bytes)?;
            Ok((id(&message.session_id())?, message))
        };
        response.result(inspected(), |response, (id, message)| {
            response.bytes(&id);
            response.bytes(message.identity_key().as_bytes());
            response.bytes(message.one_time_key().as_bytes());
        });
    }
    Ok(())
}

/// `createInboundSession`: identity, prekey secret, sender's identity key, message, header hash →
/// state, id, payload.
pub fn create_inbound(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let identity = Identity::restore(request.bytes()?)?;
    let prekey_secret = request.array::<32>()?;
    let sender = public_key(request.bytes()?)?;
    let message = prekey_message(request.bytes()?)?;
    let header_hash = request.bytes()?;

    let made = identity.account(Some(prekey_secret))?.create_inbound_session(
        SessionConfig::version_1(),
        sender,
        &message,
    )?;
    let payload = Zeroizing::new(made.plaintext);
    check_header_hash(&payload, header_hash)?;
    response.bytes(&save(&made.session)?);
    response.bytes(&id(&made.session.session_id())?);
    response.bytes(&payload);
    Ok(())
}

/// `decrypt`: state, list of message, whether it is a prekey message, header hash → state, a result
/// each of payload.
pub fn decrypt(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let mut session = restore(request.bytes()?)?;
    let mut results = Vec::new();
    for _ in 0..request.count()? {
        let (bytes, is_prekey_message) = (request.bytes()?, request.integer()? != 0);
        let header_hash = request.bytes()?;
        // A message that fails must leave the session as it was. vodozemac alone does not guarantee
        // that: a message on an unknown chain makes a new ratchet key before its MAC is checked.
        let before = session.pickle();
        let result = decrypt_one(&mut session, bytes, is_prekey_message, header_hash);
        if result.is_err() {
            session = Session::from_pickle(before);
        }
        results.push(result);
    }
    response.bytes(&save(&session)?);
    response.integer(results.len());
    for result in results {
        response.result(result, |response, payload| response.bytes(&payload));
    }
    Ok(())
}

fn decrypt_one(
    session: &mut Session,
    bytes: &[u8],
    is_prekey_message: bool,
    header_hash: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let message = if is_prekey_message {
        let message = prekey_message(bytes)?;
        let (theirs, ours) = (message.session_keys(), session.session_keys());
        if theirs.identity_key != ours.identity_key {
            return Err(Error::IdentityMismatch);
        }
        if theirs != ours {
            return Err(Error::DecryptionFailed);
        }
        OlmMessage::PreKey(message)
    } else {
        check_length(bytes)?;
        OlmMessage::Normal(vodozemac::olm::Message::from_bytes(bytes)?)
    };
    let payload = Zeroizing::new(session.decrypt(&message)?);
    check_header_hash(&payload, header_hash)?;
    Ok(payload)
}

/// docs/protocol.md D1: the payload names the header it was sent under. Bytes that are not protobuf
/// pass: the caller cannot parse them either, and rejects them after the ratchet has moved on.
pub fn check_header_hash(payload: &[u8], header_hash: &[u8]) -> Result<(), Error> {
    match PayloadBinding::decode(payload) {
        Ok(binding) if binding.header_hash != header_hash => Err(Error::HeaderMismatch),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn prekey_message(bytes: &[u8]) -> Result<PreKeyMessage, Error> {
    check_length(bytes)?;
    Ok(PreKeyMessage::from_bytes(bytes)?)
}

fn public_key(bytes: &[u8]) -> Result<Curve25519PublicKey, Error> {
    Curve25519PublicKey::from_slice(bytes).map_err(|_| Error::Malformed)
}

const fn check_length(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() <= MAX_OLM_MESSAGE { Ok(()) } else { Err(Error::Malformed) }
}
