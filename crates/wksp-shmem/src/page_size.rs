//! The page sizes of regions, and the directory that each has under the base directory.

use std::fmt;
use std::str::FromStr;

/// The size of the pages that a region consists of.
///
/// In ascending order; a look-up by name alone takes the largest that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "fd_shmem_page_sz")]
pub enum PageSize {
    /// Pages of 4096 bytes.
    Normal,
    /// Pages of 2 MiB, of a hugetlbfs.
    Huge,
    /// Pages of 1 GiB, of a hugetlbfs.
    Gigantic,
}

/// A text is no page size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are pages of normal (4096), huge (2097152) and gigantic (1073741824) bytes, but none \
     called {text:?}"
)]
pub struct PageSizeError {
    /// The text, cut off after 64 characters.
    pub text: String,
}

impl PageSize {
    /// All page sizes, in ascending order.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Huge, Self::Gigantic];

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Normal => 4096,
            Self::Huge => 2 << 20,
            Self::Gigantic => 1 << 30,
        }
    }

    /// The name of the directory that holds the regions of this page size.
    #[must_use]
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Normal => ".normal",
            Self::Huge => ".huge",
            Self::Gigantic => ".gigantic",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Huge => "huge",
            Self::Gigantic => "gigantic",
        }
    }

    /// The page size of so many bytes, `None` if there is none.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.bytes() == bytes)
    }
}

impl FromStr for PageSize {
    type Err = PageSizeError;

    /// Reads a name in any letter case, or a number of bytes in decimal.
    fn from_str(text: &str) -> Result<Self, PageSizeError> {
        let by_name = Self::ALL.into_iter().find(|size| text.eq_ignore_ascii_case(size.name()));
        by_name
            .or_else(|| Self::from_bytes(text.parse().ok()?))
            .ok_or_else(|| PageSizeError { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_byte_counts_are_understood() {
        for (text, size) in [
            ("normal", PageSize::Normal),
            ("NORMAL", PageSize::Normal),
            ("4096", PageSize::Normal),
            ("Huge", PageSize::Huge),
            ("2097152", PageSize::Huge),
            ("gigantiC", PageSize::Gigantic),
            ("1073741824", PageSize::Gigantic),
        ] {
            assert_eq!(text.parse(), Ok(size));
        }
        for size in PageSize::ALL {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "normal ", "4095", "-4096", "2M", "tiny", "18446744073709551616"] {
            assert!(text.parse::<PageSize>().is_err(), "{text:?}");
        }
        let long = "x".repeat(1000).parse::<PageSize>().unwrap_err();
        assert_eq!(long.text.len(), 64);
    }
}
