//! Contents that tests can write into an allocation and recognise later.

use std::fmt;

use crate::rng::Rng;

/// Fills `bytes` with the pattern of `seed`.
///
/// A shorter buffer holds a prefix of what a longer one would.
pub fn fill_pattern(seed: u64, bytes: &mut [u8]) {
    Rng::new(seed).fill(bytes);
}

/// Checks that `bytes` hold the pattern of `seed`.
///
/// # Errors
///
/// The first byte that differs.
pub fn check_pattern(seed: u64, bytes: &[u8]) -> Result<(), PatternMismatch> {
    let mut pattern = vec![0; bytes.len()];
    fill_pattern(seed, &mut pattern);
    let mut pairs = pattern.iter().zip(bytes).enumerate();
    match pairs.find(|(_, (expected, found))| expected != found) {
        None => Ok(()),
        Some((offset, (&expected, &found))) => Err(PatternMismatch { offset, expected, found }),
    }
}

/// The first byte that is not what the pattern says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternMismatch {
    /// Offset from the start of the checked bytes.
    pub offset: usize,
    /// The pattern's byte.
    pub expected: u8,
    /// The byte found.
    pub found: u8,
}

impl fmt::Display for PatternMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, expected, found } = self;
        write!(f, "byte {offset} is {found:#04x}, the pattern says {expected:#04x}")
    }
}

impl std::error::Error for PatternMismatch {}

#[cfg(test)]
mod tests {
    use super::{check_pattern, fill_pattern};

    #[test]
    fn damage_is_found_where_it_is() {
        let mut bytes = [0; 100];
        fill_pattern(5, &mut bytes);
        check_pattern(5, &bytes).unwrap();
        check_pattern(5, &bytes[..13]).unwrap();
        assert_eq!(check_pattern(6, &bytes).unwrap_err().offset, 0);
        bytes[99] ^= 1;
        assert_eq!(check_pattern(5, &bytes).unwrap_err().offset, 99);
    }
}
