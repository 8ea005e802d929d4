//! The symmetric cryptography that the store needs: records at rest, keyed hashes, derived keys and
//! plain digests. Keys are 32 bytes; a key of another length fails the call.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    random,
    wire::{Reader, Writer},
};

const NONCE_LENGTH: usize = 24;

/// `vaultSeal`: key, list of plaintext, associated data → a sealed record each. Random nonces of 24
/// bytes do not repeat (XChaCha20-Poly1305 is made for them), even after a rollback or in a copy.
pub fn seal(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let cipher = XChaCha20Poly1305::new(request.array::<32>()?.into());
    let count = request.count()?;
    response.integer(count);
    // One draw for all of them, because it calls out of wasm.
    let mut nonces = vec![[0; NONCE_LENGTH]; count];
    random::fill(nonces.as_flattened_mut())?;
    for nonce in nonces {
        let (msg, aad) = (request.bytes()?, request.bytes()?);
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg, aad })
            .map_err(|_| Error::Malformed)?;
        response.bytes(&[nonce.as_slice(), &sealed].concat());
    }
    Ok(())
}

/// `vaultOpen`: key, list of sealed record, associated data → a flag each, and the plaintext.
pub fn open(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let cipher = XChaCha20Poly1305::new(request.array::<32>()?.into());
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let (sealed, aad) = (request.bytes()?, request.bytes()?);
        let opened = sealed.split_first_chunk::<NONCE_LENGTH>().and_then(|(nonce, msg)| {
            cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad }).ok().map(Zeroizing::new)
        });
        response.flag(opened.is_some());
        response.bytes(opened.as_deref().map_or(&[], Vec::as_slice));
    }
    Ok(())
}

/// `digest`: messages → SHA-256 each.
pub fn digest(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        response.bytes(&Sha256::digest(request.bytes()?));
    }
    Ok(())
}

/// `keyedHash`: key, messages → HMAC-SHA-256 each.
pub fn keyed_hash(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let key = request.array::<32>()?;
    let keyed = <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| Error::Malformed)?;
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let hash = keyed.clone().chain_update(request.bytes()?).finalize();
        response.bytes(&hash.into_bytes());
    }
    Ok(())
}

/// `deriveKey`: key, info → HKDF-SHA-256 without salt, 32 bytes.
pub fn derive_key(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let (key, info) = (request.array::<32>()?, request.bytes()?);
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, key).expand(info, &mut *derived).map_err(|_| Error::Malformed)?;
    response.bytes(&*derived);
    Ok(())
}
