//! Why something failed: one code for each cause, the same list as `cryptoCodes` in
//! `src/crypto/crypto.ts`. Errors of other crates are translated here and nowhere else, variant by
//! variant, so that a new one does not compile until someone decides what it means.

use hpke::HpkeError;
use vodozemac::{
    DecodeError,
    olm::{DecryptionError, EncryptionError, SessionCreationError},
};

/// Why one item of a batch, or a whole call, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A field has the wrong length, or the bytes are not what they should be.
    Malformed,
    /// An opaque state that this release cannot read.
    BadState,
    /// None of the secrets opens the first part.
    UnsealingFailed,
    /// The padding does not have the one allowed shape.
    BadPadding,
    /// X25519 gave the all-zero result.
    NonContributoryKey,
    /// A prekey message names a prekey other than the one given.
    MissingPrekey,
    /// A prekey message's identity key is not the expected one.
    IdentityMismatch,
    /// The Olm message's MAC does not verify.
    BadMac,
    /// Decrypted before, or too old: its message key is gone.
    MessageKeyGone,
    /// The message is further ahead than a ratchet may skip.
    GapTooLarge,
    /// The plaintext names another header.
    HeaderMismatch,
    /// Any other failure of the ratchet.
    DecryptionFailed,
    /// The platform gave no random bytes. Fails a call as a whole.
    NoRandomness,
}

impl Error {
    /// Every variant, in the order of the TypeScript list.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::BadState,
        Self::UnsealingFailed,
        Self::BadPadding,
        Self::NonContributoryKey,
        Self::MissingPrekey,
        Self::IdentityMismatch,
        Self::BadMac,
        Self::MessageKeyGone,
        Self::GapTooLarge,
        Self::HeaderMismatch,
        Self::DecryptionFailed,
        Self::NoRandomness,
    ];

    /// The code that crosses to TypeScript.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadState => "bad_state",
            Self::UnsealingFailed => "unsealing_failed",
            Self::BadPadding => "bad_padding",
            Self::NonContributoryKey => "non_contributory_key",
            Self::MissingPrekey => "missing_prekey",
            Self::IdentityMismatch => "identity_mismatch",
            Self::BadMac => "bad_mac",
            Self::MessageKeyGone => "message_key_gone",
            Self::GapTooLarge => "gap_too_large",
            Self::HeaderMismatch => "header_mismatch",
            Self::DecryptionFailed => "decryption_failed",
            Self::NoRandomness => "no_randomness",
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::MessageType(_)
            | DecodeError::MissingVersion
            | DecodeError::MessageTooShort(_)
            | DecodeError::InvalidVersion(_, _)
            | DecodeError::InvalidKey(_)
            | DecodeError::InvalidMacLength(_, _)
            | DecodeError::Signature(_)
            | DecodeError::ProtoBufError(_)
            | DecodeError::Base64(_) => Self::Malformed,
        }
    }
}

impl From<DecryptionError> for Error {
    fn from(error: DecryptionError) -> Self {
        match error {
            DecryptionError::InvalidMAC(_) => Self::BadMac,
            // A MAC of another length belongs to another session config, which is never ours.
            DecryptionError::InvalidMACLength(_, _) => Self::Malformed,
            DecryptionError::InvalidPadding(_) => Self::DecryptionFailed,
            DecryptionError::NonContributoryKey => Self::NonContributoryKey,
            DecryptionError::MissingMessageKey(_) => Self::MessageKeyGone,
            DecryptionError::TooBigMessageGap(_, _) => Self::GapTooLarge,
        }
    }
}

impl From<EncryptionError> for Error {
    fn from(error: EncryptionError) -> Self {
        match error {
            EncryptionError::NonContributoryKey => Self::NonContributoryKey,
        }
    }
}

impl From<SessionCreationError> for Error {
    fn from(error: SessionCreationError) -> Self {
        match error {
            SessionCreationError::MissingOneTimeKey(_) => Self::MissingPrekey,
            SessionCreationError::MismatchedIdentityKey(_, _) => Self::IdentityMismatch,
            SessionCreationError::MismatchedSessionConfig { .. } => Self::Malformed,
            SessionCreationError::Decryption(error) => error.into(),
            SessionCreationError::NonContributoryKey => Self::NonContributoryKey,
        }
    }
}

impl From<HpkeError> for Error {
    fn from(error: HpkeError) -> Self {
        match error {
            HpkeError::EncapError | HpkeError::DecapError => Self::NonContributoryKey,
            HpkeError::OpenError => Self::UnsealingFailed,
            HpkeError::MessageLimitReached
            | HpkeError::SealError
            | HpkeError::KdfOutputTooLong
            | HpkeError::ValidationError
            | HpkeError::IncorrectInputLength(_, _)
            | HpkeError::InvalidPskBundle => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Error;

    #[test]
    fn every_cause_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Error::ALL.iter().map(|error| error.code()).collect();
        assert_eq!(codes.len(), Error::ALL.len());
    }

    #[test]
    fn typescript_has_the_same_list_of_codes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/crypto/crypto.ts");
        let source = std::fs::read_to_string(file).unwrap();
        let array = source.split("export const cryptoCodes = [").nth(1).unwrap();
        let array = array.split(']').next().unwrap();
        let listed: Vec<_> = array
            .lines()
            .filter_map(|line| line.trim().strip_prefix('\'')?.strip_suffix("',"))
            .collect();
        // `no_randomness` never reaches an item: the adapter throws it.
        let ours: Vec<_> = Error::ALL
            .iter()
            .filter(|&&error| error != Error::NoRandomness)
            .map(|error| error.code())
            .collect();
        assert_eq!(listed, ours);
    }
}
