//! No input makes a call panic: truncated, mutated, spliced or made-up requests for every call, and
//! well-formed requests with each field in turn treated so. Seeds are fixed and printed on failure.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use padlock_wasm::{Call, account, answer, error::Error, seal, session, vault, wire::Reader};
use support::{Request, Seeded, ask, field, result_of};

/// One call and a request it answers, field by field: bytes, or a number.
struct Example {
    name: &'static str,
    call: Call,
    fields: Vec<Field>,
}

#[derive(Clone)]
enum Field {
    Bytes(Vec<u8>),
    Number(usize),
}

fn bytes(bytes: impl AsRef<[u8]>) -> Field {
    Field::Bytes(bytes.as_ref().to_vec())
}

fn pack(fields: &[Field]) -> Request {
    fields.iter().fold(Request::default(), |request, field| match field {
        Field::Bytes(bytes) => request.bytes(bytes),
        Field::Number(number) => request.integer(*number),
    })
}

fn fields_of(call: Call, fields: &[Field]) -> Vec<u8> {
    ask(call, &pack(fields)).unwrap()
}

/// Requests of two installations that have exchanged a few messages; every call is among them.
fn examples() -> Vec<Example> {
    let identity = || {
        let body = fields_of(account::create_identity, &[]);
        let mut reader = Reader::new(&body);
        (field(&mut reader), field(&mut reader), field(&mut reader))
    };
    let key_pair = || {
        let body = fields_of(account::create_key_pairs, &[Field::Number(1)]);
        let mut reader = Reader::new(&body);
        reader.integer().unwrap();
        (field(&mut reader), field(&mut reader))
    };
    let ((alice, alice_key, alice_signing), (bob, bob_key, _)) = (identity(), identity());
    let ((prekey_secret, prekey), (sealing_secret, sealing)) = (key_pair(), key_pair());
    let id = bytes([b'i'; 43]);
    let (key, message) = (bytes([7; 32]), bytes(b"message"));

    let outbound = vec![bytes(&alice), Field::Number(1), bytes(&bob_key), bytes(&prekey)];
    let body = fields_of(session::create_outbound, &outbound);
    let mut reader = Reader::new(&body[5..]);
    let state = field(&mut reader);
    let metadata = [[0x0a, 0x02].as_slice(), b"me"].concat();
    let seal_of = |state: &[u8]| {
        let mut fields = vec![bytes(&alice), Field::Number(1), bytes(state), bytes(&sealing)];
        fields.extend([id.clone(), bytes(&metadata), bytes([0, 0, 0, 2, b'm', b'e'])]);
        fields.extend([Field::Number(2), bytes([8, 1]), bytes([8, 1, 0x22, 1, b'x'])]);
        fields
    };
    let body = fields_of(seal::seal, &seal_of(&state));
    let mut reader = Reader::new(&body[5..]);
    field(&mut reader);
    assert_eq!(reader.integer(), Ok(2));
    let sealed: Vec<_> = (0..2).map(|_| (field(&mut reader), field(&mut reader))).collect();
    let envelope = |message: &[u8]| {
        use prost::Message as _;
        let envelope = padlock_wasm::messages::InboxMessage::decode(message).unwrap().v1.unwrap();
        let header =
            padlock_wasm::messages::Header::decode(envelope.header_bytes.as_slice()).unwrap();
        [envelope.header_bytes, header.sealed_metadata, envelope.ciphertext]
    };
    let mut open = vec![Field::Number(1), bytes(&sealing_secret), id.clone(), Field::Number(2)];
    for (message, _) in &sealed {
        open.extend(envelope(message).iter().map(bytes));
        open.push(Field::Number(0));
    }
    let body = fields_of(seal::open, &open);
    let mut rest = &body[4..];
    let mut opened = Vec::new();
    while let Some((0, parts)) = rest.split_first() {
        let mut reader = Reader::new(parts);
        let (metadata, enc, header_hash) =
            (field(&mut reader), field(&mut reader), field(&mut reader));
        let (is_open, olm) =
            parts[4 * 3 + metadata.len() + enc.len() + header_hash.len()..].split_first().unwrap();
        assert_eq!(*is_open, 1, "the second part opens");
        let olm_message = field(&mut Reader::new(olm));
        rest = &olm[4 + olm_message.len()..];
        opened.push((olm_message, header_hash));
    }
    let inbound = vec![
        bytes(&bob),
        bytes(&prekey_secret),
        bytes(&alice_key),
        bytes(&opened[0].0),
        bytes(&opened[0].1),
    ];
    let body = fields_of(session::create_inbound, &inbound);
    let bob_state = field(&mut Reader::new(&body));
    let decrypt = vec![
        bytes(&bob_state),
        Field::Number(1),
        bytes(&opened[1].0),
        Field::Number(1),
        bytes(&opened[1].1),
    ];
    let body = fields_of(account::sign, &[bytes(&alice), Field::Number(1), message.clone()]);
    let signature = field(&mut Reader::new(&body[4..]));
    let verify = vec![Field::Number(1), bytes(&alice_signing), message.clone(), bytes(signature)];
    let vault_seal = vec![key.clone(), Field::Number(1), message.clone(), bytes(b"data")];
    let body = fields_of(vault::seal, &vault_seal);
    let record = field(&mut Reader::new(&body[4..]));

    vec![
        Example { name: "create_identity", call: account::create_identity, fields: vec![] },
        Example {
            name: "create_key_pairs",
            call: account::create_key_pairs,
            fields: vec![Field::Number(2)],
        },
        Example {
            name: "sign",
            call: account::sign,
            fields: vec![bytes(&alice), Field::Number(1), message.clone()],
        },
        Example { name: "verify", call: account::verify, fields: verify },
        Example {
            name: "digest",
            call: vault::digest,
            fields: vec![Field::Number(1), message.clone()],
        },
        Example {
            name: "keyed_hash",
            call: vault::keyed_hash,
            fields: vec![key.clone(), Field::Number(1), message.clone()],
        },
        Example {
            name: "derive_key",
            call: vault::derive_key,
            fields: vec![key.clone(), message.clone()],
        },
        Example { name: "create_outbound", call: session::create_outbound, fields: outbound },
        Example { name: "seal", call: seal::seal, fields: seal_of(&state) },
        Example { name: "seal on a reply", call: seal::seal, fields: seal_of(&bob_state) },
        Example { name: "open", call: seal::open, fields: open },
        Example {
            name: "inspect_prekey",
            call: session::inspect_prekey,
            fields: vec![Field::Number(1), bytes(&opened[0].0)],
        },
        Example { name: "create_inbound", call: session::create_inbound, fields: inbound },
        Example { name: "decrypt", call: session::decrypt, fields: decrypt },
        Example { name: "vault_seal", call: vault::seal, fields: vault_seal },
        Example {
            name: "vault_open",
            call: vault::open,
            fields: vec![key, Field::Number(1), bytes(record), bytes(b"data")],
        },
    ]
}

/// The response must be a result or one of the codes, whatever the request.
fn must_answer(name: &str, call: Call, request: &[u8], seed: u64) {
    let response = catch_unwind(AssertUnwindSafe(|| answer(call, request)))
        .unwrap_or_else(|_| panic!("{name} panicked; seed {seed}, request {request:02x?}"));
    if let Err(code) = result_of(&response) {
        assert!(Error::ALL.iter().any(|error| error.code() == code), "{name} gave {code}");
    }
}

/// One to four changes: flipped bits, other bytes, a cut, a repeat, an insertion.
fn mutate(seeded: &mut Seeded, bytes: &mut Vec<u8>) {
    for _ in 0..=seeded.below(4) {
        let at = seeded.below(bytes.len());
        match seeded.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << seeded.below(8),
            2 if !bytes.is_empty() => {
                bytes[at] = [0, 0x7f, 0x80, 0xff, 0x1b, 0x9f][seeded.below(6)]
            }
            3 => bytes.truncate(at),
            4 => {
                let end = at + seeded.below(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                let to = seeded.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => {
                let count = 1 + seeded.below(9);
                let piece = seeded.bytes(count);
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn requests_cut_at_every_byte_are_answered() {
    for Example { name, call, fields } in examples() {
        let request = pack(&fields).0;
        assert!(result_of(&answer(call, &request)).is_ok(), "{name} is a good example");
        for length in 0..request.len() {
            must_answer(name, call, &request[..length], 0);
        }
        let longer = [request.as_slice(), &[0]].concat();
        assert_eq!(result_of(&answer(call, &longer)), Err("malformed".into()), "{name}");
    }
}

#[test]
fn mutated_requests_are_answered() {
    for Example { name, call, fields } in examples() {
        let request = pack(&fields).0;
        for seed in 0..400 {
            let mut mutated = request.clone();
            mutate(&mut Seeded(seed), &mut mutated);
            must_answer(name, call, &mutated, seed);
        }
    }
}

#[test]
fn requests_with_one_mutated_field_are_answered() {
    for Example { name, call, fields } in examples() {
        for (index, original) in fields.iter().enumerate() {
            for seed in 0..400 {
                let mut seeded = Seeded(seed);
                let mut changed = fields.clone();
                changed[index] = match original {
                    Field::Bytes(bytes) => {
                        let mut bytes = bytes.clone();
                        mutate(&mut seeded, &mut bytes);
                        Field::Bytes(bytes)
                    }
                    Field::Number(_) if seed < 8 => Field::Number(
                        [0, 1, 2, 3, 4, 1 << 16, 1 << 31, 0xffff_ffff][seeded.below(8)],
                    ),
                    Field::Number(_) => break,
                };
                must_answer(name, call, &pack(&changed).0, seed);
            }
        }
    }
}

#[test]
fn made_up_requests_are_answered() {
    for Example { name, call, .. } in examples() {
        for seed in 0..300 {
            let mut seeded = Seeded(seed);
            let length = seeded.below(300);
            let request = seeded.bytes(length);
            must_answer(name, call, &request, seed);
        }
    }
}

#[test]
fn a_false_count_allocates_nothing() {
    for Example { name, call, fields } in examples() {
        for (index, field) in fields.iter().enumerate() {
            if matches!(field, Field::Number(_)) {
                let mut changed = fields.clone();
                changed[index] = Field::Number(0xffff_ffff);
                let response = result_of(&answer(call, &pack(&changed).0));
                // A flag may be any number; a count may not.
                if name != "decrypt" || index == 1 {
                    assert_eq!(response, Err("malformed".into()), "{name}, field {index}");
                }
            }
        }
    }
}
