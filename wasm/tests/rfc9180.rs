//! The official vector of the suite (RFC 9180 appendix A.2.1), through the same functions that seal
//! and open envelopes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use padlock_wasm::{
    error::Error,
    hpke::{Opener, Recipient, Sealer},
};
use serde_json::Value;
use support::{data, key};

fn vector() -> Value {
    serde_json::from_str(include_str!("rfc9180.json")).unwrap()
}

/// All plaintexts of the vector are the same, and the nth associated data is `Count-n`.
fn check(mut part: impl FnMut(&[u8], &[u8], &[u8])) {
    let vector = vector();
    let encryptions = vector["encryptions"].as_array().unwrap();
    let plaintext = data(&encryptions[0]["pt"]);
    let mut checked = 0;
    for sequence in 0..=256 {
        let aad = format!("Count-{sequence}");
        let listed = encryptions.iter().find(|listed| listed["sequence"] == sequence);
        if let Some(listed) = listed {
            assert_eq!(data(&listed["aad"]), aad.as_bytes());
            assert_eq!(data(&listed["pt"]), plaintext);
            checked += 1;
        }
        part(
            &plaintext,
            aad.as_bytes(),
            &listed.map_or_else(Vec::new, |listed| data(&listed["ct"])),
        );
    }
    assert_eq!(checked, 6);
}

#[test]
fn sealing_gives_the_ciphertexts_of_the_rfc() {
    let vector = vector();
    let mut sealer =
        Sealer::new(&key(&vector["pkRm"]), &data(&vector["info"]), &key(&vector["skEm"])).unwrap();
    assert_eq!(sealer.enc(), &key(&vector["enc"]));
    check(|plaintext, aad, expected| {
        let ciphertext = sealer.seal(plaintext, aad).unwrap();
        assert!(expected.is_empty() || ciphertext == expected);
    });
}

#[test]
fn opening_gives_the_plaintexts_of_the_rfc() {
    let vector = vector();
    let (enc, info) = (key(&vector["enc"]), data(&vector["info"]));
    let mut sealer = Sealer::new(&key(&vector["pkRm"]), &info, &key(&vector["skEm"])).unwrap();
    let recipient = Recipient::new(&key(&vector["skRm"]));
    let mut opener = Opener::new(&recipient, &recipient.shared(&enc), &enc, &info).unwrap();
    check(|plaintext, aad, expected| {
        let own = sealer.seal(plaintext, aad).unwrap();
        let ciphertext = if expected.is_empty() { &own } else { expected };
        assert_eq!(opener.open(ciphertext, aad).unwrap(), plaintext);
    });
}

#[test]
fn a_part_that_does_not_open_does_not_advance_the_context() {
    let vector = vector();
    let (enc, info) = (key(&vector["enc"]), data(&vector["info"]));
    let recipient = Recipient::new(&key(&vector["skRm"]));
    let mut opener = Opener::new(&recipient, &recipient.shared(&enc), &enc, &info).unwrap();
    assert_eq!(opener.open(&[0; 40], b"Count-0"), Err(Error::UnsealingFailed));
    assert_eq!(opener.open(&[0; 15], b"Count-0"), Err(Error::UnsealingFailed));
    let first = &vector["encryptions"][0];
    assert_eq!(opener.open(&data(&first["ct"]), b"Count-0").unwrap(), data(&first["pt"]));
}

#[test]
fn points_that_give_the_all_zero_result_are_refused() {
    // RFC 7748 section 6.1; the points of small order of Curve25519 and their non-canonical forms.
    let mut points = vec![[0; 32], [0; 32]];
    points[1][0] = 1;
    let mut p = [0xff; 32];
    p[31] = 0x7f;
    for low in [0xec, 0xed, 0xee] {
        p[0] = low;
        points.push(p);
    }
    for hex in [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ] {
        points.push(key(&Value::from(hex)));
    }
    for point in points {
        let sealing = Sealer::new(&point, b"", &[7; 32]);
        assert_eq!(sealing.err(), Some(Error::NonContributoryKey), "{point:x?}");
        let recipient = Recipient::new(&[7; 32]);
        let opening = Opener::new(&recipient, &recipient.shared(&point), &point, b"");
        assert_eq!(opening.err(), Some(Error::NonContributoryKey), "{point:x?}");
    }
}
