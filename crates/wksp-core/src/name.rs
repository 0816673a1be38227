//! The name of a workspace and of the region it lies in.

use core::fmt;
use core::str::FromStr;

/// The most bytes that a name can have.
pub const NAME_BYTES_MAX: usize = 39;

/// A name: 1 ..= 39 bytes of `[0-9A-Za-z_.-]`, the first one a letter or digit.
///
/// So a name is never `.` or `..`, holds no slash and no white space, and is safe as a file name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "fd_shmem_name")]
pub struct Name {
    // NUL padded, as in the header of a workspace, where one NUL at least ends it.
    bytes: [u8; NAME_BYTES_MAX + 1],
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no bytes.
    #[error("a name must have 1 to 39 bytes, but this one is empty")]
    Empty,
    /// The name has too many bytes.
    #[error("a name must have 1 to 39 bytes, but this one has {bytes}: choose a shorter one")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The name has a byte that is not allowed.
    #[error(
        "a name must consist of letters, digits, '_', '.' and '-', but byte {at} is 0x{byte:02x}"
    )]
    BadByte {
        /// Its position, counted from 0.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The first byte is neither a letter nor a digit.
    #[error("a name must begin with a letter or digit, but this one begins with 0x{byte:02x}")]
    BadStart {
        /// The byte.
        byte: u8,
    },
    /// The stored name is not padded with NULs, or has no NUL at all.
    #[error("a stored name must end with NULs only, but this one does not: it is damaged")]
    BadPadding,
}

impl Name {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what of the text is not allowed.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(text.as_bytes())
    }

    fn from_bytes(text: &[u8]) -> Result<Self, NameError> {
        let mut bytes = [0; NAME_BYTES_MAX + 1];
        match (text.first(), bytes.get_mut(..text.len())) {
            (None, _) => return Err(NameError::Empty),
            (Some(_), Some(start)) if text.len() <= NAME_BYTES_MAX => start.copy_from_slice(text),
            _ => return Err(NameError::TooLong { bytes: text.len() }),
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if let Some((at, &byte)) = text.iter().enumerate().find(|(_, byte)| !is_allowed(**byte)) {
            return Err(NameError::BadByte { at, byte });
        }
        match text.first() {
            Some(&byte) if !byte.is_ascii_alphanumeric() => Err(NameError::BadStart { byte }),
            _ => Ok(Self { bytes }),
        }
    }

    /// Reads a name as a header or checkpoint stores it: NUL terminated and NUL padded.
    ///
    /// # Errors
    ///
    /// [`NameError`] if what is stored is no name; nothing stored can do worse than that.
    pub fn from_padded(padded: [u8; NAME_BYTES_MAX + 1]) -> Result<Self, NameError> {
        let length = padded.iter().position(|&byte| byte == 0).ok_or(NameError::BadPadding)?;
        let (text, padding) = padded.split_at_checked(length).ok_or(NameError::BadPadding)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(NameError::BadPadding);
        }
        Self::from_bytes(text)
    }

    /// The name as a header stores it.
    #[must_use]
    pub const fn to_padded(self) -> [u8; NAME_BYTES_MAX + 1] {
        self.bytes
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(0);
        self.bytes.get(..length).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::ToString;

    #[test]
    fn legal_names_come_back_as_they_went_in() {
        for text in ["a", "0", "small.wksp_0-A", &"x".repeat(39)] {
            let name = Name::new(text).unwrap();
            assert_eq!(name.as_str(), text);
            assert_eq!(Name::from_padded(name.to_padded()), Ok(name));
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn each_illegal_name_is_refused_for_its_own_reason() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(40)), Err(NameError::TooLong { bytes: 40 }));
        assert_eq!(Name::new("a/b"), Err(NameError::BadByte { at: 1, byte: b'/' }));
        assert_eq!(Name::new("a\0b"), Err(NameError::BadByte { at: 1, byte: 0 }));
        assert_eq!(Name::new(".."), Err(NameError::BadStart { byte: b'.' }));
        assert_eq!(Name::new("-x"), Err(NameError::BadStart { byte: b'-' }));
    }

    #[test]
    fn a_stored_name_needs_its_padding() {
        assert_eq!(Name::from_padded([b'x'; 40]), Err(NameError::BadPadding));
        let mut padded = [0; 40];
        padded[0] = b'x';
        padded[2] = b'y';
        assert_eq!(Name::from_padded(padded), Err(NameError::BadPadding));
        assert_eq!(Name::from_padded([0; 40]), Err(NameError::Empty));
    }
}
