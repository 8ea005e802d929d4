//! Secret bytes that are gathered piece by piece.

use zeroize::Zeroizing;

/// A buffer that leaves no copy behind. A `Vec` that grows frees its old memory as it is, and
/// `Zeroizing` wipes only the last.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        let length = self.0.len().saturating_add(bytes.len());
        if length > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2);
            let mut larger = Zeroizing::new(Vec::with_capacity(length.max(doubled)));
            larger.extend_from_slice(&self.0);
            // The old one is wiped here.
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// All of it.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::SecretBytes;

    #[test]
    fn what_was_added_is_there_however_often_it_grew() {
        for capacity in [0, 1, 7, 5_000] {
            let mut secret = SecretBytes::with_capacity(capacity);
            let mut expected = Vec::new();
            for length in 0..100usize {
                let piece = vec![u8::try_from(length).unwrap(); length];
                secret.extend(&piece);
                expected.extend(piece);
            }
            assert_eq!(*secret.into_bytes(), expected);
        }
    }
}
