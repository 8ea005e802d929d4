//! Packs each request and each response into one byte buffer: an integer is 4 bytes little endian,
//! bytes follow their length, a list's items follow their count, and a result is one byte (0 before
//! the value, or 1 before the code as bytes). `src/crypto/wasm-wire.ts` is the other end.

use zeroize::Zeroizing;

use crate::{error::Error, secret::SecretBytes};

/// Reads a request; every method fails with `malformed` past its end.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Error::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned integer.
    pub fn integer(&mut self) -> Result<usize, Error> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(Error::Malformed)?;
        self.rest = rest;
        usize::try_from(u32::from_le_bytes(*bytes)).map_err(|_| Error::Malformed)
    }

    /// Bytes of any length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.integer()?;
        self.take(length)
    }

    /// Bytes that must be of one length.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        self.bytes()?.try_into().map_err(|_| Error::Malformed)
    }

    /// The count of a list whose items follow. Never more than the buffer can hold, so that a
    /// false count cannot make the caller allocate.
    pub fn count(&mut self) -> Result<usize, Error> {
        let count = self.integer()?;
        if count > self.rest.len() / 4 { Err(Error::Malformed) } else { Ok(count) }
    }

    /// A list of bytes.
    pub fn list(&mut self) -> Result<Vec<&'a [u8]>, Error> {
        (0..self.count()?).map(|_| self.bytes()).collect()
    }

    /// Fails if anything is left.
    pub const fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed) }
    }
}

/// Writes a response, which may hold secrets: whatever becomes of it, no copy stays.
pub struct Writer {
    bytes: SecretBytes,
}

impl Writer {
    /// An empty response with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: SecretBytes::with_capacity(capacity) }
    }

    /// An unsigned integer. No buffer on a 32-bit machine is longer than it can hold.
    pub fn integer(&mut self, value: usize) {
        self.bytes.extend(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Bytes of any length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.integer(bytes.len());
        self.bytes.extend(bytes);
    }

    /// Whether something follows.
    pub fn flag(&mut self, value: bool) {
        self.bytes.extend(&[u8::from(value)]);
    }

    /// A result: what `write` writes, or the code.
    pub fn result<T>(&mut self, result: Result<T, Error>, write: impl FnOnce(&mut Self, T)) {
        match result {
            Ok(value) => {
                self.bytes.extend(&[0]);
                write(self, value);
            }
            Err(error) => {
                self.bytes.extend(&[1]);
                self.bytes(error.code().as_bytes());
            }
        }
    }

    /// The finished response.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes.into_bytes()
    }
}
