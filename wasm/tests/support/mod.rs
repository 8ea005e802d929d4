//! What the tests share: packing requests, reading responses, and the vectors of the repository.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use padlock_wasm::{Call, answer, wire::Reader};
use serde_json::Value;

/// A request being packed, as `src/crypto/wasm-wire.ts` does it.
#[derive(Clone, Default)]
pub struct Request(pub Vec<u8>);

impl Request {
    pub fn integer(mut self, value: usize) -> Self {
        self.0.extend(u32::try_from(value).unwrap().to_le_bytes());
        self
    }

    pub fn bytes(self, bytes: impl AsRef<[u8]>) -> Self {
        let mut request = self.integer(bytes.as_ref().len());
        request.0.extend(bytes.as_ref());
        request
    }
}

/// The body of a response whose call as a whole did not fail, or the code with which it did.
pub fn ask(call: Call, request: &Request) -> Result<Vec<u8>, String> {
    result_of(&answer(call, &request.0))
}

/// The body of a result, or its code.
pub fn result_of(result: &[u8]) -> Result<Vec<u8>, String> {
    match result.split_first() {
        Some((0, body)) => Ok(body.to_vec()),
        Some((1, code)) => Err(String::from_utf8(field(&mut Reader::new(code))).unwrap()),
        other => panic!("neither result nor code: {other:?}"),
    }
}

pub fn field(reader: &mut Reader<'_>) -> Vec<u8> {
    reader.bytes().unwrap().to_vec()
}

/// The cases of `tests/vectors/<file>.json` with this operation; never none.
pub fn cases(file: &str, op: &str) -> Vec<Value> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let text = std::fs::read_to_string(root.join(file).with_extension("json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases: Vec<_> =
        all["cases"].as_array().unwrap().iter().filter(|case| case["op"] == op).cloned().collect();
    assert!(!cases.is_empty(), "{file}.json has no case of {op}");
    cases
}

/// Bytes of a vector: hex, a run of one byte, or several of these.
pub fn data(value: &Value) -> Vec<u8> {
    match value {
        Value::String(hex) => {
            assert!(hex.len().is_multiple_of(2), "odd hex");
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        }
        Value::Object(run) if run.contains_key("fill") => {
            data(&run["fill"]).repeat(run["times"].as_str().unwrap().parse().unwrap())
        }
        Value::Object(parts) => parts["concat"].as_array().unwrap().iter().flat_map(data).collect(),
        other => panic!("not bytes: {other}"),
    }
}

pub fn key(value: &Value) -> [u8; 32] {
    data(value).try_into().unwrap()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// SplitMix64: a seed is all that is needed to see a failure again.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number().to_le_bytes()[0]).collect()
    }
}
