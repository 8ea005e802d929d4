//! Opaque states: a version byte, then compact binary. The vault authenticates them, so what is
//! read is what was written; reading is still bounded.

use std::convert::Infallible;

use minicbor_serde::Serializer;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{cbor::Cbor, error::Error, secret::SecretBytes};

/// The version of the states that this release writes and reads.
pub const VERSION: u8 = 1;

/// A full session (five chains, forty skipped keys each) stays below 20 KiB.
const MAX_LENGTH: usize = 64 * 1024;

/// A session without skipped keys stays below this, so that writing it never grows the buffer.
const USUAL_LENGTH: usize = 1024;

/// A session itself nests eight deep.
const MAX_DEPTH: usize = 16;

/// The version byte and the CBOR of `value`.
pub fn write(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let body = to_cbor(value)?;
    let mut state = Zeroizing::new(Vec::with_capacity(body.len().saturating_add(1)));
    state.push(VERSION);
    state.extend_from_slice(&body);
    Ok(state)
}

/// The value that [`write`] wrote.
pub fn read<T: DeserializeOwned>(state: &[u8]) -> Result<T, Error> {
    match state.split_first() {
        Some((&VERSION, body)) if body.len() <= MAX_LENGTH && is_shallow(body) => from_cbor(body),
        _ => Err(Error::BadState),
    }
}

/// CBOR, in a buffer that is wiped when dropped.
pub fn to_cbor(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut sink = Sink(SecretBytes::with_capacity(USUAL_LENGTH));
    value.serialize(&mut Serializer::new(&mut sink)).map_err(|_| Error::BadState)?;
    Ok(sink.0.into_bytes())
}

struct Sink(SecretBytes);

impl minicbor::encode::Write for Sink {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend(bytes);
        Ok(())
    }
}

/// The value that CBOR describes.
pub fn from_cbor<T: DeserializeOwned>(cbor: &[u8]) -> Result<T, Error> {
    T::deserialize(&mut Cbor::new(cbor)).map_err(|_| Error::BadState)
}

/// Whether this is exactly one CBOR item (RFC 8949) of bounded depth and definite lengths. serde
/// buffers a tagged enum by recursion without a limit, so the depth must be known first.
fn is_shallow(mut rest: &[u8]) -> bool {
    let mut open: Vec<u64> = Vec::with_capacity(MAX_DEPTH);
    loop {
        let Some((&head, tail)) = rest.split_first() else { return false };
        let Some((argument, tail)) = argument(head & 31, tail) else { return false };
        rest = tail;
        let children = match head >> 5 {
            2 | 3 => {
                let Ok(length) = usize::try_from(argument) else { return false };
                let Some((_, tail)) = rest.split_at_checked(length) else { return false };
                rest = tail;
                0
            }
            4 => argument,
            5 => argument.saturating_mul(2),
            6 => 1,
            _ => 0,
        };
        if children > 0 {
            if open.len() == MAX_DEPTH {
                return false;
            }
            open.push(children);
            continue;
        }
        while let Some(left) = open.last_mut() {
            *left = left.saturating_sub(1);
            if *left > 0 {
                break;
            }
            open.pop();
        }
        if open.is_empty() {
            return rest.is_empty();
        }
    }
}

/// The argument of a head (RFC 8949 section 3), and the bytes after it.
fn argument(information: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match information {
        0..=23 => Some((u64::from(information), rest)),
        24 => rest.split_first().map(|(&byte, rest)| (u64::from(byte), rest)),
        25 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u16::from_be_bytes(*b)), rest)),
        26 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u32::from_be_bytes(*b)), rest)),
        27 => rest.split_first_chunk().map(|(b, rest)| (u64::from_be_bytes(*b), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, VERSION, read, write};
    use crate::error::Error;

    #[test]
    fn what_was_written_is_read_back() {
        let value = vec![vec![1u64, 1 << 40], vec![]];
        assert_eq!(read::<Vec<Vec<u64>>>(&write(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn another_version_a_cut_and_a_surplus_byte_are_bad_states() {
        let mut state = write(&vec![7u64, 300]).unwrap().to_vec();
        for length in 0..state.len() {
            assert_eq!(read::<Vec<u64>>(&state[..length]), Err(Error::BadState));
        }
        state.push(0);
        assert_eq!(read::<Vec<u64>>(&state), Err(Error::BadState));
        state.pop();
        state[0] = VERSION + 1;
        assert_eq!(read::<Vec<u64>>(&state), Err(Error::BadState));
    }

    #[test]
    fn nesting_is_refused_before_it_can_exhaust_the_stack() {
        let mut state = vec![VERSION];
        state.extend([0x81].repeat(60_000));
        state.push(0);
        assert_eq!(read::<serde_json::Value>(&state), Err(Error::BadState));
        let mut deepest = vec![VERSION];
        deepest.extend([0x81].repeat(MAX_DEPTH));
        deepest.push(0);
        assert!(read::<serde_json::Value>(&deepest).is_ok());
    }
}
