//! `pad(x) = x ‖ 0x80 ‖ zeros` (docs/protocol.md section 8). Whatever is unpadded has been
//! authenticated already, so nothing here needs constant time.

use crate::error::Error;

/// Sealed metadata is always padded to this many bytes.
pub const METADATA_LENGTH: usize = 320;

/// A padded Olm message has at least this many bytes.
const MIN_MESSAGE_LENGTH: usize = 512;

/// Padmé: `length` rounded up so that it reveals only O(log log L) bits.
pub fn padme(length: usize) -> usize {
    let Some(exponent) = length.checked_ilog2() else { return length };
    let Some(kept_bits) = exponent.checked_ilog2() else { return length };
    let step = 1 << exponent.saturating_sub(kept_bits + 1);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

/// The metadata, padded to its one length; `malformed` if it does not fit.
pub fn pad_metadata(metadata: &[u8]) -> Result<Vec<u8>, Error> {
    if metadata.len() < METADATA_LENGTH {
        Ok(pad(metadata, METADATA_LENGTH))
    } else {
        Err(Error::Malformed)
    }
}

/// An Olm message, padded to the length that belongs to its own.
pub fn pad_message(message: &[u8]) -> Vec<u8> {
    pad(message, message_length(message.len()))
}

/// The metadata within its padding; `bad_padding` for any other shape than [`pad_metadata`]'s.
pub fn unpad_metadata(padded: &[u8]) -> Result<&[u8], Error> {
    if padded.len() == METADATA_LENGTH { strip(padded) } else { Err(Error::BadPadding) }
}

/// The Olm message within its padding; `bad_padding` for any other shape than [`pad_message`]'s.
pub fn unpad_message(padded: &[u8]) -> Result<&[u8], Error> {
    let message = strip(padded)?;
    if padded.len() == message_length(message.len()) { Ok(message) } else { Err(Error::BadPadding) }
}

fn message_length(length: usize) -> usize {
    padme(length.saturating_add(1)).max(MIN_MESSAGE_LENGTH)
}

fn pad(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = Vec::with_capacity(length);
    padded.extend_from_slice(bytes);
    padded.push(0x80);
    padded.resize(length, 0);
    padded
}

fn strip(padded: &[u8]) -> Result<&[u8], Error> {
    let end = padded.iter().rposition(|&byte| byte != 0).ok_or(Error::BadPadding)?;
    match padded.split_at_checked(end) {
        Some((bytes, [0x80, ..])) => Ok(bytes),
        _ => Err(Error::BadPadding),
    }
}
