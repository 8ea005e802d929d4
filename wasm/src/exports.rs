//! The exports for JavaScript: bytes in, bytes out. Both buffers are wiped on this side of the
//! boundary.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

use crate::{account, answer, seal, session, vault};

/// Its name is the version of requests and responses (`wire.rs`), so that the loader can recognise
/// a file of another release before using it.
#[wasm_bindgen]
pub fn padlock_wire_1() {}

macro_rules! exports {
    ($($name:ident => $call:path;)*) => {$(
        #[doc = concat!("`", stringify!($call), "`")]
        #[wasm_bindgen]
        pub fn $name(request: Vec<u8>) -> Uint8Array {
            let request = Zeroizing::new(request);
            Uint8Array::new_from_slice(&answer($call, &request))
        }
    )*};
}

exports! {
    create_identity => account::create_identity;
    create_key_pairs => account::create_key_pairs;
    sign => account::sign;
    verify => account::verify;
    digest => vault::digest;
    keyed_hash => vault::keyed_hash;
    derive_key => vault::derive_key;
    create_outbound_sessions => session::create_outbound;
    seal => seal::seal;
    open => seal::open;
    inspect_prekey_messages => session::inspect_prekey;
    create_inbound_session => session::create_inbound;
    decrypt => session::decrypt;
    vault_seal => vault::seal;
    vault_open => vault::open;
}
