//! HPKE contexts (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305).
//! The key schedule and the AEAD come from the `hpke` crate. The KEM is assembled here from that
//! crate's ExtractAndExpand and x25519-dalek, for two things that the crate does not allow: an
//! X25519 result computed elsewhere, and the recipient's public key computed once per batch instead
//! of once per envelope. The tests include the RFC's own vectors.

use std::cell::OnceCell;

use hpke::{
    HpkeError, OpModeR, OpModeS,
    aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305},
    kdf::{HkdfSha256, Kdf},
    kem::{Kem, SharedSecret, X25519HkdfSha256},
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes of an encapsulated key.
pub const ENC_LENGTH: usize = 32;

/// Bytes that sealing adds.
pub const TAG_LENGTH: usize = 16;

/// The AEAD and the KDF would panic on a long `info`; ours is a constant and an id.
const MAX_INFO_LENGTH: usize = 1024;

/// The sealing side of one context: its nth call makes what the nth [`Opener::open`] opens.
pub struct Sealer {
    context: AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>,
    enc: [u8; ENC_LENGTH],
}

impl Sealer {
    /// SetupBaseS. `ephemeral` must be fresh random bytes: RFC 9180's GenerateKeyPair.
    pub fn new(recipient: &[u8; 32], info: &[u8], ephemeral: &[u8; 32]) -> Result<Self, Error> {
        let secret = StaticSecret::from(*ephemeral);
        let enc = PublicKey::from(&secret).to_bytes();
        let shared = secret.diffie_hellman(&PublicKey::from(*recipient));
        let shared_secret = extract_and_expand(shared.as_bytes(), &enc, recipient)?;
        check_info(info)?;
        let context =
            HkdfSha256::combine_secrets(&OpModeS::<X25519HkdfSha256>::Base, shared_secret, info);
        Ok(Self { context: context.into(), enc })
    }

    /// The encapsulated key.
    pub const fn enc(&self) -> &[u8; ENC_LENGTH] {
        &self.enc
    }

    /// Ciphertext and tag of the next part.
    pub fn seal(&mut self, plaintext: &[u8], associated_data: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.context.seal(plaintext, associated_data)?)
    }
}

/// A secret to open with, and its public half, computed when first needed.
pub struct Recipient {
    secret: StaticSecret,
    public: OnceCell<[u8; 32]>,
}

impl Recipient {
    /// Clamps as X25519 does.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { secret: StaticSecret::from(*secret), public: OnceCell::new() }
    }

    fn public(&self) -> &[u8; 32] {
        self.public.get_or_init(|| PublicKey::from(&self.secret).to_bytes())
    }

    /// The X25519 result of this secret and `enc`.
    pub fn shared(&self, enc: &[u8; ENC_LENGTH]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.secret.diffie_hellman(&PublicKey::from(*enc)).as_bytes())
    }
}

/// The opening side of one context.
pub struct Opener {
    context: AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>,
}

impl Opener {
    /// SetupBaseR, with the X25519 result already computed.
    pub fn new(
        recipient: &Recipient,
        shared: &[u8; 32],
        enc: &[u8; ENC_LENGTH],
        info: &[u8],
    ) -> Result<Self, Error> {
        let shared_secret = extract_and_expand(shared, enc, recipient.public())?;
        check_info(info)?;
        let context =
            HkdfSha256::combine_secrets(&OpModeR::<X25519HkdfSha256>::Base, shared_secret, info);
        Ok(Self { context: context.into() })
    }

    /// The next part. A part that does not open does not advance the context.
    pub fn open(&mut self, ciphertext: &[u8], associated_data: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.context.open(ciphertext, associated_data)?)
    }
}

/// RFC 9180 section 4.1: the KEM's shared secret from the X25519 result and both public keys.
fn extract_and_expand(
    shared: &[u8; 32],
    enc: &[u8; ENC_LENGTH],
    recipient: &[u8; 32],
) -> Result<SharedSecret<X25519HkdfSha256>, Error> {
    // Section 7.1.4: an all-zero result must be refused. That it is all zero is not a secret.
    if shared.iter().fold(0, |bits, byte| bits | byte) == 0 {
        return Err(Error::NonContributoryKey);
    }
    let [high, low] = X25519HkdfSha256::KEM_ID.to_be_bytes();
    let suite_id = [b'K', b'E', b'M', high, low];
    let mut context = [0; ENC_LENGTH + 32];
    for (to, from) in context.iter_mut().zip(enc.iter().chain(recipient)) {
        *to = *from;
    }
    let mut shared_secret = SharedSecret::default();
    HkdfSha256::extract_and_expand(shared, &suite_id, &context, &mut shared_secret.0)?;
    Ok(shared_secret)
}

fn check_info(info: &[u8]) -> Result<(), HpkeError> {
    if info.len() <= MAX_INFO_LENGTH { Ok(()) } else { Err(HpkeError::ValidationError) }
}
