//! The cryptography of Padlock. One function for each method of `Crypto` (`src/crypto/crypto.ts`);
//! each takes one packed request and returns one packed response ([`wire`]), and holds nothing
//! between calls: a session goes in as bytes and comes out as bytes, so nothing has to be freed and
//! nothing can be used after free.

pub mod account;
mod cbor;
pub mod error;
#[cfg(target_arch = "wasm32")]
mod exports;
pub mod hpke;
pub mod messages;
pub mod padding;
mod random;
pub mod seal;
mod secret;
pub mod session;
mod state;
pub mod vault;
pub mod wire;

use zeroize::Zeroizing;

use crate::{
    error::Error,
    wire::{Reader, Writer},
};

/// A call: reads the request from one side and writes the response to the other.
pub type Call = fn(&mut Reader<'_>, &mut Writer) -> Result<(), Error>;

/// Room for a response beyond the size of its request: states, signatures and envelopes grow.
const RESPONSE_MARGIN: usize = 1024;

/// The response to one request: what the call writes, or why it failed as a whole.
pub fn answer(call: Call, request: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut reader = Reader::new(request);
    let mut response = Writer::with_capacity(request.len().saturating_add(RESPONSE_MARGIN));
    response.flag(false);
    match call(&mut reader, &mut response).and_then(|()| reader.finish()) {
        Ok(()) => response.into_bytes(),
        Err(error) => {
            let mut response = Writer::with_capacity(32);
            response.result(Err::<(), _>(error), |_, ()| ());
            response.into_bytes()
        }
    }
}
