//! Archives as the kernel unpacks them into its first file system: cpio, in its "newc" form.

use anyhow::{Context, Result};

/// What an entry begins with.
const MAGIC: &str = "070701";
/// The name of the entry behind the last one.
const TRAILER: &str = "TRAILER!!!";
/// What headers with names, and contents, are filled up to.
const ALIGNMENT: usize = 4;
/// The type and permissions of directories, and of files, all of which may be executed.
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// An archive under construction.
///
/// A directory has to be entered before what is in it.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entry_count: u32,
}

impl Archive {
    /// Enters a directory; its path has no slash at either end.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(path, DIRECTORY, &[])
    }

    /// Enters a file; its path has no slash at either end.
    pub(super) fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        self.entry(path, FILE, contents)
    }

    /// Ends the archive, and returns its bytes.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(TRAILER, 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let size = u32::try_from(contents.len()).with_context(|| format!("{path} is too large"))?;
        let name_size = u32::try_from(path.len().saturating_add(1)).context("a path too long")?;
        // Entries with the same number would be links to one another.
        self.entry_count = self.entry_count.saturating_add(1);
        let (links, owner, group, changed, device) = (1, 0, 0, 0, [0; 4]);
        let fields = [self.entry_count, mode, owner, group, links, changed, size];
        let rest = [name_size, 0];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields.iter().chain(&device).chain(&rest) {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.fill();
        self.bytes.extend_from_slice(contents);
        self.fill();
        Ok(())
    }

    fn fill(&mut self) {
        let filled = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(filled, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_format_says() {
        let mut archive = Archive::default();
        archive.directory("a").unwrap();
        archive.file("a/bc", b"hello").unwrap();
        // Number, mode, user, group, links, time, size, device twice, name size, checksum.
        let expected = "\
            070701 00000001 000041ED 00000000 00000000 00000001 00000000 00000000 \
            00000000 00000000 00000000 00000000 00000002 00000000 a. \
            070701 00000002 000081ED 00000000 00000000 00000001 00000000 00000005 \
            00000000 00000000 00000000 00000000 00000005 00000000 a/bc.. hello... \
            070701 00000003 00000000 00000000 00000000 00000001 00000000 00000000 \
            00000000 00000000 00000000 00000000 0000000B 00000000 TRAILER!!!....";
        let expected = expected.replace(' ', "").replace('.', "\0");
        assert_eq!(String::from_utf8(archive.finish().unwrap()).unwrap(), expected);
    }
}
