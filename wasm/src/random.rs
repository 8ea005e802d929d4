//! Random bytes of the platform.

use zeroize::Zeroizing;

use crate::error::Error;

/// `N` random bytes, wiped when dropped.
pub fn bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|_| Error::NoRandomness)?;
    Ok(bytes)
}
