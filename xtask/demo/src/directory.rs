//! What is stored where: an allocation of its own that lists all files, for whoever comes later.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wksp_core::{Gaddr, Tag};

/// The tag of the allocation that lists the files; those of the files are from here on up.
pub(crate) const TAG: Tag = match Tag::new(1000) {
    Some(tag) => tag,
    None => panic!("1000 is not 0"),
};

/// The bytes of a file in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Where they are; an empty file is nowhere.
    pub(crate) gaddr: Option<Gaddr>,
    /// How many.
    pub(crate) bytes: u64,
    /// Their CRC-32.
    pub(crate) crc32: u32,
}

impl Stored {
    /// The first address and the one behind the last, of what has any.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        self.gaddr.map(|gaddr| (gaddr.get(), gaddr.get().saturating_add(self.bytes)))
    }
}

/// A file and what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) stored: Stored,
}

/// Returns the list as it is stored: address, size, checksum and path of each file, NUL terminated.
pub(crate) fn to_bytes<'a>(
    entries: impl IntoIterator<Item = (&'a Path, Stored)>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (path, Stored { gaddr, bytes: size, crc32 }) in entries {
        let gaddr = gaddr.map_or(0, Gaddr::get);
        write!(bytes, "{gaddr} {size} {crc32:08x} ")?;
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    Ok(bytes)
}

/// Reads a list back.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Vec<Entry>> {
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| parse(entry).context("the list of files in the workspace is damaged"))
        .collect()
}

fn parse(entry: &[u8]) -> Option<Entry> {
    let mut fields = entry.splitn(4, |byte| *byte == b' ');
    let mut number = || str::from_utf8(fields.next()?).ok();
    let (gaddr, bytes, crc32) = (number()?, number()?, number()?);
    let stored = Stored {
        gaddr: Gaddr::new(gaddr.parse().ok()?),
        bytes: bytes.parse().ok()?,
        crc32: u32::from_str_radix(crc32, 16).ok()?,
    };
    Some(Entry { path: OsStr::from_bytes(fields.next()?).into(), stored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back() {
        let stored = Stored { gaddr: Gaddr::new(4096), bytes: 7, crc32: 0xab };
        let empty = Stored { gaddr: None, bytes: 0, crc32: 0 };
        let entries = [(Path::new("a b/c"), stored), (Path::new("d"), empty)];
        let bytes = to_bytes(entries).unwrap();
        assert_eq!(bytes, b"4096 7 000000ab a b/c\x000 0 00000000 d\0");
        let back = from_bytes(&bytes).unwrap();
        assert_eq!(back, entries.map(|(path, stored)| Entry { path: path.into(), stored }));
    }

    #[test]
    fn damage_is_reported() {
        for bytes in [&b"x"[..], b"1 2 3", b"1 -2 0 a", b"1 2 0g a"] {
            assert!(from_bytes(bytes).is_err());
        }
    }
}
