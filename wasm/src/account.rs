//! The identity: an Olm account reduced to its two secrets, and the calls that use them or make
//! fresh keys. `session.rs` assembles an account with prekeys for one call at a time, so that
//! nothing is restored that the call does not need.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Serialize, Serializer};
use vodozemac::olm::{Account, AccountPickle};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    random, state,
    wire::{Reader, Writer},
};

/// More key pairs than any one call needs (a stock is 100).
const MAX_KEY_PAIRS: usize = 1_000;

/// The two secrets of an installation, as stored: a version byte, Ed25519 seed, Curve25519 secret.
pub struct Identity {
    ed25519: Zeroizing<[u8; 32]>,
    curve25519: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// Reads a stored identity.
    pub fn restore(stored: &[u8]) -> Result<Self, Error> {
        let (&version, secrets) = stored.split_first().ok_or(Error::BadState)?;
        let (ed25519, curve25519) = secrets.split_first_chunk::<32>().ok_or(Error::BadState)?;
        let curve25519: &[u8; 32] = curve25519.try_into().map_err(|_| Error::BadState)?;
        if version != state::VERSION {
            return Err(Error::BadState);
        }
        Ok(Self { ed25519: Zeroizing::new(*ed25519), curve25519: Zeroizing::new(*curve25519) })
    }

    /// For signing; one base point multiplication.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.ed25519)
    }

    /// The Olm account with these secrets and at most one prekey.
    pub fn account(&self, prekey: Option<&[u8; 32]>) -> Result<Account, Error> {
        let parts = AccountParts {
            signing_key: SigningKeyParts::Normal(Octets(&self.ed25519)),
            diffie_hellman_key: &self.curve25519,
            one_time_keys: OneTimeKeyParts {
                next_key_id: 1,
                public_keys: Keys(None),
                private_keys: Keys(prekey),
            },
            fallback_keys: FallbackKeyParts {
                key_id: 0,
                fallback_key: None,
                previous_fallback_key: None,
            },
        };
        let pickle: AccountPickle = state::from_cbor(&state::to_cbor(&parts)?)?;
        Ok(Account::from_pickle(pickle))
    }
}

/// The serde form of vodozemac's `AccountPickle`, whose fields are private.
#[derive(Serialize)]
struct AccountParts<'a> {
    signing_key: SigningKeyParts<'a>,
    diffie_hellman_key: &'a [u8; 32],
    one_time_keys: OneTimeKeyParts<'a>,
    fallback_keys: FallbackKeyParts,
}

#[derive(Serialize)]
enum SigningKeyParts<'a> {
    Normal(Octets<'a>),
}

struct Octets<'a>(&'a [u8; 32]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[derive(Serialize)]
struct OneTimeKeyParts<'a> {
    next_key_id: u64,
    public_keys: Keys<'a>,
    private_keys: Keys<'a>,
}

/// A map from key id to key, with no entry or one.
struct Keys<'a>(Option<&'a [u8; 32]>);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.map(|key| (0u64, key)))
    }
}

#[derive(Serialize)]
struct FallbackKeyParts {
    key_id: u64,
    fallback_key: Option<()>,
    previous_fallback_key: Option<()>,
}

/// `createIdentity`: nothing → identity, Curve25519 key, Ed25519 key.
pub fn create_identity(_: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let ed25519 = random::bytes::<32>()?;
    let curve25519 = random::bytes::<32>()?;
    let mut stored = Zeroizing::new(Vec::with_capacity(65));
    stored.push(state::VERSION);
    stored.extend_from_slice(&*ed25519);
    stored.extend_from_slice(&*curve25519);
    response.bytes(&stored);
    response.bytes(PublicKey::from(&StaticSecret::from(*curve25519)).as_bytes());
    response.bytes(SigningKey::from_bytes(&ed25519).verifying_key().as_bytes());
    Ok(())
}

/// `createKeyPairs`: count → count times secret, public key.
pub fn create_key_pairs(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let count = request.integer()?;
    if count > MAX_KEY_PAIRS {
        return Err(Error::Malformed);
    }
    response.integer(count);
    for _ in 0..count {
        let secret = random::bytes::<32>()?;
        response.bytes(&*secret);
        response.bytes(PublicKey::from(&StaticSecret::from(*secret)).as_bytes());
    }
    Ok(())
}

/// `sign`: identity, messages → one signature each.
pub fn sign(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let signer = Identity::restore(request.bytes()?)?.signing_key();
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        response.bytes(&signer.sign(request.bytes()?).to_bytes());
    }
    Ok(())
}

/// `verify`: list of key, message, signature → one flag each.
pub fn verify(request: &mut Reader<'_>, response: &mut Writer) -> Result<(), Error> {
    let count = request.count()?;
    response.integer(count);
    for _ in 0..count {
        let (key, message, signature) = (request.bytes()?, request.bytes()?, request.bytes()?);
        response.flag(is_signed_strictly(key, message, signature));
    }
    Ok(())
}

/// Strict verification as in docs/protocol.md section 1: cofactorless, S < L, A and R not of small
/// order. False for anything of another length.
pub fn is_signed_strictly(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = key.try_into() else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key: VerifyingKey| key.verify_strict(message, &signature).is_ok())
}
