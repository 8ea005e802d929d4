//! Reads the CBOR of states into serde's model: definite lengths, unsigned integers, byte and text
//! strings, arrays, maps, booleans and null, which is all that `state.rs` writes. minicbor does the
//! parsing; its own serde adapter carries every kind of number and an error with a text through
//! each type that vodozemac stores, which would be a sixth of the compressed file.

use std::fmt;

use minicbor::{Decoder, data::Type};
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor},
    forward_to_deserialize_any,
};

/// The bytes are not CBOR, or not of the wanted type. No caller needs to know which.
#[derive(Debug)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("unreadable")
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    // Inlined, so that no text is formatted for it.
    #[inline(always)]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Reads one value.
pub struct Cbor<'de>(Decoder<'de>);

impl<'de> Cbor<'de> {
    /// Begins at the first byte.
    pub fn new(bytes: &'de [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    // None of these is generic, so each is compiled once.

    #[inline(never)]
    fn datatype(&self) -> Result<Type, Unreadable> {
        self.0.datatype().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn integer(&mut self) -> Result<u64, Unreadable> {
        self.0.u64().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn boolean(&mut self) -> Result<bool, Unreadable> {
        self.0.bool().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn null(&mut self) -> Result<(), Unreadable> {
        self.0.null().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn bytes(&mut self) -> Result<&'de [u8], Unreadable> {
        self.0.bytes().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn text(&mut self) -> Result<&'de str, Unreadable> {
        self.0.str().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn array(&mut self) -> Result<Items<'_, 'de>, Unreadable> {
        let left = self.0.array().map_err(|_| Unreadable)?.ok_or(Unreadable)?;
        Ok(Items { cbor: self, left })
    }

    #[inline(never)]
    fn map(&mut self) -> Result<Items<'_, 'de>, Unreadable> {
        let left = self.0.map().map_err(|_| Unreadable)?.ok_or(Unreadable)?;
        Ok(Items { cbor: self, left })
    }

    #[inline(never)]
    fn array_of(&mut self, length: usize) -> Result<Items<'_, 'de>, Unreadable> {
        let items = self.array()?;
        if usize::try_from(items.left) == Ok(length) { Ok(items) } else { Err(Unreadable) }
    }
}

/// Methods of `Deserializer` that read one item and pass it to the visitor.
macro_rules! read {
    ($($method:ident => $read:ident, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            visitor.$visit(self.$read()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Cbor<'de> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.datatype()? {
            Type::Bool => visitor.visit_bool(self.boolean()?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.integer()?),
            Type::Bytes => visitor.visit_borrowed_bytes(self.bytes()?),
            Type::String => visitor.visit_borrowed_str(self.text()?),
            Type::Array => visitor.visit_seq(self.array()?),
            Type::Map => visitor.visit_map(self.map()?),
            Type::Null => {
                self.null()?;
                visitor.visit_none()
            }
            _ => Err(Unreadable),
        }
    }

    read! {
        deserialize_bool => boolean, visit_bool;
        deserialize_u8 => integer, visit_u64;
        deserialize_u16 => integer, visit_u64;
        deserialize_u32 => integer, visit_u64;
        deserialize_u64 => integer, visit_u64;
        deserialize_str => text, visit_borrowed_str;
        deserialize_string => text, visit_borrowed_str;
        deserialize_identifier => text, visit_borrowed_str;
        deserialize_bytes => bytes, visit_borrowed_bytes;
        deserialize_byte_buf => bytes, visit_borrowed_bytes;
        deserialize_seq => array, visit_seq;
        deserialize_map => map, visit_map;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.datatype()? == Type::Null {
            self.null()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    /// An empty array, as `state.rs` writes it.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.array_of(0)?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(self.array_of(length)?)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_map(visitor)
    }

    /// A variant without content is its name; any other is a map from its name to the content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        if self.datatype()? == Type::Map && self.map()?.left != 1 {
            return Err(Unreadable);
        }
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char unit_struct ignored_any
    }
}

/// The rest of an array or a map.
pub struct Items<'a, 'de> {
    cbor: &'a mut Cbor<'de>,
    left: u64,
}

impl Items<'_, '_> {
    const fn take(&mut self) -> bool {
        let has_more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_more
    }

    /// Allocated at once, so that growing leaves no copy of a secret behind.
    fn length(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        if self.take() { seed.deserialize(&mut *self.cbor).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.length()
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        if self.take() { seed.deserialize(&mut *self.cbor).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, Unreadable> {
        seed.deserialize(&mut *self.cbor)
    }

    fn size_hint(&self) -> Option<usize> {
        self.length()
    }
}

impl<'de> EnumAccess<'de> for &mut Cbor<'de> {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self), Unreadable> {
        Ok((seed.deserialize(&mut *self)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Cbor<'de> {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Unreadable> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize, de::DeserializeOwned};
    use vodozemac::olm::{Account, OlmMessage, SessionConfig, SessionPickle};

    use super::Cbor;
    use crate::state::to_cbor;

    fn read<T: DeserializeOwned>(cbor: &[u8]) -> Option<T> {
        T::deserialize(&mut Cbor::new(cbor)).ok()
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything {
        number: u64,
        small: (u8, u16, u32, bool),
        octets: [u8; 32],
        map: BTreeMap<u64, Vec<u32>>,
        some: Option<String>,
        none: Option<u8>,
        wrapped: Wrapped,
        plain: Vec<Plain>,
        tagged: Vec<Tagged>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Box<[u8]>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Plain {
        Known(u64),
        Unknown(()),
        Unit,
        Tuple(u8, u8),
        Struct { a: u8 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        First { octets: [u8; 32], count: Plain },
        Second { list: Vec<Option<u64>> },
    }

    fn everything() -> Everything {
        Everything {
            number: u64::MAX,
            small: (255, 65_535, u32::MAX, true),
            octets: [200; 32],
            map: BTreeMap::from([(1, vec![]), (1 << 40, vec![23, 24, 256])]),
            some: Some("text".to_owned()),
            none: None,
            wrapped: Wrapped([7, 130].into()),
            plain: vec![
                Plain::Known(9),
                Plain::Unknown(()),
                Plain::Unit,
                Plain::Tuple(1, 2),
                Plain::Struct { a: 3 },
            ],
            tagged: vec![
                Tagged::First { octets: [1; 32], count: Plain::Known(70_000) },
                Tagged::Second { list: vec![Some(5), None] },
            ],
        }
    }

    /// A session with a sending and a receiving chain and with skipped message keys.
    fn session() -> Vec<u8> {
        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_one_time_keys(1);
        let one_time = *bob.one_time_keys().values().next().unwrap();
        let config = SessionConfig::version_1();
        let mut ours =
            alice.create_outbound_session(config, bob.curve25519_key(), one_time).unwrap();
        let OlmMessage::PreKey(first) = ours.encrypt(b"1").unwrap() else { panic!() };
        let theirs = bob.create_inbound_session(config, alice.curve25519_key(), &first);
        let mut theirs = theirs.unwrap().session;
        let answers: Vec<_> = (0..5).map(|_| theirs.encrypt(b"2").unwrap()).collect();
        ours.decrypt(&answers[4]).unwrap();
        ours.encrypt(b"3").unwrap();
        to_cbor(&ours.pickle()).unwrap().to_vec()
    }

    #[test]
    fn every_shape_is_read_back() {
        let cbor = to_cbor(&everything()).unwrap();
        assert_eq!(read::<Everything>(&cbor), Some(everything()));
        for length in 0..cbor.len() {
            assert_eq!(read::<Everything>(&cbor[..length]), None);
        }
    }

    #[test]
    fn a_session_is_read_back() {
        let cbor = session();
        let pickle = read::<SessionPickle>(&cbor).unwrap();
        assert_eq!(*to_cbor(&pickle).unwrap(), cbor);
    }

    /// Whatever is changed: this reads exactly what the library would read, and to the same values.
    #[test]
    fn what_is_read_is_what_minicbors_own_adapter_reads() {
        let cbor = to_cbor(&everything()).unwrap();
        let mut read_anyway = 0;
        for (at, &byte) in cbor.iter().enumerate() {
            for changed in (0..=255).filter(|&changed| changed != byte) {
                let mut cbor = cbor.to_vec();
                cbor[at] = changed;
                if let Some(value) = read::<Everything>(&cbor) {
                    assert_eq!(minicbor_serde::from_slice::<Everything>(&cbor).unwrap(), value);
                    read_anyway += 1;
                }
            }
        }
        assert!(read_anyway > 1_000, "{read_anyway}");
    }
}
