//! Addresses within named workspaces as text: `NAME:GADDR`.

use std::fmt;
use std::str::FromStr;

use wksp_core::{Gaddr, Name, NameError};

/// A byte of a named workspace.
///
/// As text it is `NAME:GADDR`, with the global address in decimal; it is read in decimal, after
/// `0x` in hexadecimal, and after `0` in octal. The last colon separates.
///
/// # Examples
///
/// ```
/// use wksp_shmem::WorkspaceAddress;
///
/// let address: WorkspaceAddress = "small.wksp:0x1000".parse()?;
/// assert_eq!(address.to_string(), "small.wksp:4096");
/// # Ok::<(), wksp_shmem::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "fd_wksp_cstr")]
pub struct WorkspaceAddress {
    /// The name of the workspace.
    pub name: Name,
    /// The offset of the byte from the start of the workspace.
    pub gaddr: Gaddr,
}

/// Why a text is no address within a workspace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no colon.
    #[error("an address is written NAME:GADDR, but this one has no colon")]
    NoColon,
    /// What comes before the last colon is no name.
    #[error("an address is written NAME:GADDR, but before the colon is no name: {0}")]
    Name(#[from] NameError),
    /// What comes behind the last colon is no number of 64 bits.
    #[error(
        "an address is written NAME:GADDR, but behind the colon is no number: write a decimal one, \
         0x and a hexadecimal one, or 0 and an octal one, less than 2^64"
    )]
    NoNumber,
    /// The number is 0, which is no address.
    #[error("0 is the address of nothing: addresses of data begin behind the records")]
    Zero,
}

impl FromStr for WorkspaceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (name, number) = text.rsplit_once(':').ok_or(AddressError::NoColon)?;
        let name = Name::new(name)?;
        let number = parse_number(number).ok_or(AddressError::NoNumber)?;
        Ok(Self { name, gaddr: Gaddr::new(number).ok_or(AddressError::Zero)? })
    }
}

impl fmt::Display for WorkspaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.gaddr)
    }
}

fn parse_number(text: &str) -> Option<u64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // The library takes a plus sign as well.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u64, AddressError> {
        text.parse().map(|address: WorkspaceAddress| address.gaddr.get())
    }

    #[test]
    fn numbers_are_read_in_three_bases_and_written_in_decimal() {
        for (text, gaddr) in [
            ("w:4096", 4096),
            ("w:0x1000", 4096),
            ("w:0XfF", 255),
            ("w:0777", 511),
            ("w:18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(gaddr), "{text}");
        }
        let address: WorkspaceAddress = "a.b-c_d:010".parse().unwrap();
        assert_eq!(address.to_string(), "a.b-c_d:8");
    }

    #[test]
    fn everything_else_is_refused_for_its_own_reason() {
        assert_eq!(parse("w"), Err(AddressError::NoColon));
        assert_eq!(parse(":1"), Err(AddressError::Name(NameError::Empty)));
        assert!(matches!(parse("a:b:1"), Err(AddressError::Name(NameError::BadByte { .. }))));
        assert_eq!(parse("w:0"), Err(AddressError::Zero));
        assert_eq!(parse("w:00"), Err(AddressError::Zero));
        for text in ["w:", "w:x", "w:+1", "w:-1", "w: 1", "w:09", "w:0x", "w:0x+1", "w:1e3"] {
            assert_eq!(parse(text), Err(AddressError::NoNumber), "{text}");
        }
        assert_eq!(parse("w:18446744073709551616"), Err(AddressError::NoNumber));
    }
}
