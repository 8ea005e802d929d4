//! The platform's random bytes.

use zeroize::Zeroizing;

use crate::error::Error;

/// `N` random bytes, wiped when dropped.
pub fn bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(&mut *bytes)?;
    Ok(bytes)
}

/// Fills `bytes`, which need not be secret.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|_| Error::NoRandomness)
}
