//! A file that appears whole and durable under its name, or not at all.
//!
//! The caller names the directory and the file; nothing else is opened.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// Why a file was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// No file could be made in the directory.
    #[error("no file could be made in the directory: {0}")]
    Create(io::Error),
    /// There is a file of that name, and it was not to be replaced.
    #[error("there is a file {name:?} already: choose another name, or ask for it to be replaced")]
    Exists {
        /// The name.
        name: OsString,
    },
    /// The mode of the file could not be set.
    #[error("the mode of the file could not be set: {0}")]
    Mode(io::Error),
    /// The file could not be made durable.
    #[error("the file could not be made durable: {0}")]
    Sync(io::Error),
    /// The file could not be given its name.
    #[error("the file could not be named {name:?}: {source}")]
    Link {
        /// The name.
        name: OsString,
        /// Why.
        source: io::Error,
    },
    /// The name could not be made durable.
    ///
    /// A file that replaced another one stays; one that did not is taken away again.
    #[error("the name of the file could not be made durable: {0}")]
    SyncDirectory(io::Error),
}

/// What to do about a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and do not publish.
    Keep,
    /// Put the new file in its place, in one step.
    Replace,
}

/// A file without a name, or with a temporary one, that is gone unless it is published.
///
/// # Crash behaviour
///
/// Where the file system knows files without names, the kernel removes what a killed process had
/// not published; between naming it temporarily and renaming it, to replace another file, it
/// cannot. Elsewhere the temporary name stays behind.
#[derive(Debug)]
pub struct Draft {
    calls: Calls,
    directory: OwnedFd,
    file: File,
    name: OsString,
    temporary: Option<OsString>,
}

impl Draft {
    /// Begins a file that is to be called `name` in `directory`, with mode 0600 for now.
    ///
    /// # Errors
    ///
    /// [`PublishError::Create`] if no file can be made there.
    pub fn new(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Self, PublishError> {
        Self::with_calls(Calls::default(), directory, name)
    }

    /// Begins a file that is to be called as the last part of `path` says.
    ///
    /// # Errors
    ///
    /// [`PublishError::Create`] if there is no such directory or no file can be made there.
    pub fn at(path: &Path) -> Result<Self, PublishError> {
        let no_name = || PublishError::Create(io::ErrorKind::InvalidInput.into());
        let name = path.file_name().ok_or_else(no_name)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = File::open(parent).map_err(PublishError::Create)?;
        Self::new(directory.as_fd(), name)
    }

    fn with_calls(
        calls: Calls,
        directory: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<Self, PublishError> {
        let directory = directory.try_clone_to_owned().map_err(PublishError::Create)?;
        let unnamed = calls.create(directory.as_fd(), OsStr::new("."), OFlag::O_TMPFILE);
        let (file, temporary) = match unnamed {
            Ok(file) => (file, None),
            // Not known to the file system, or to the kernel.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOENT) => {
                let (file, temporary) = create_temporary(&calls, directory.as_fd())
                    .map_err(|error| PublishError::Create(error.into()))?;
                (file, Some(temporary))
            }
            Err(error) => return Err(PublishError::Create(error.into())),
        };
        Ok(Self { calls, directory, file, name: name.to_owned(), temporary })
    }

    /// The file, to be written to.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its mode and name, once it is durable itself, and makes that durable.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the file is gone then, except as [`PublishError::SyncDirectory`] says.
    pub fn publish(mut self, mode: u32, existing: Existing) -> Result<(), PublishError> {
        let bits = Mode::from_bits_truncate(mode & 0o7777);
        self.calls.mode(&self.file, bits).map_err(|error| PublishError::Mode(error.into()))?;
        self.calls.sync(self.file.as_fd()).map_err(PublishError::Sync)?;
        let linked = match existing {
            Existing::Keep => self.link_new(),
            Existing::Replace => self.replace(),
        };
        linked.map_err(|error| match error {
            Errno::EEXIST => PublishError::Exists { name: self.name.clone() },
            error => PublishError::Link { name: self.name.clone(), source: error.into() },
        })?;
        self.calls.sync(self.directory.as_fd()).map_err(|error| {
            if existing == Existing::Keep {
                let _ = self.calls.remove(self.directory.as_fd(), &self.name);
            }
            PublishError::SyncDirectory(error)
        })
    }

    /// Gives the file its name, if there is no file of that name.
    fn link_new(&mut self) -> Result<(), Errno> {
        let Some(temporary) = &self.temporary else {
            return self.calls.link_unnamed(&self.file, self.directory.as_fd(), &self.name);
        };
        let directory = self.directory.as_fd();
        match self.calls.rename_new(directory, temporary, &self.name) {
            // Not known to the file system.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                self.calls.link(directory, temporary, &self.name)?;
                // Now, so that the sync of the directory makes that durable as well. What fails here
                // is tried again on drop.
                if self.calls.remove(directory, temporary).is_ok() {
                    self.temporary = None;
                }
                Ok(())
            }
            Ok(()) => {
                self.temporary = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the file its name, whether there is a file of that name or not.
    fn replace(&mut self) -> Result<(), Errno> {
        if self.temporary.is_none() {
            self.temporary = Some(self.link_temporary()?);
        }
        if let Some(temporary) = &self.temporary {
            self.calls.rename(self.directory.as_fd(), temporary, &self.name)?;
            self.temporary = None;
        }
        Ok(())
    }

    fn link_temporary(&self) -> Result<OsString, Errno> {
        try_names(|name| self.calls.link_unnamed(&self.file, self.directory.as_fd(), name))
            .map(|((), name)| name)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = self.calls.remove(self.directory.as_fd(), temporary);
        }
    }
}

fn create_temporary(calls: &Calls, directory: BorrowedFd<'_>) -> Result<(File, OsString), Errno> {
    try_names(|name| calls.create(directory, name, OFlag::O_CREAT | OFlag::O_EXCL))
}

/// Tries names that nobody else should have until there is no file of one.
fn try_names<T>(
    mut attempt: impl FnMut(&OsStr) -> Result<T, Errno>,
) -> Result<(T, OsString), Errno> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const ATTEMPTS: u32 = 1000;
    for _ in 0..ATTEMPTS {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from(format!(".wksp-checkpt.{}.{count}.tmp", std::process::id()));
        match attempt(&name) {
            Ok(done) => return Ok((done, name)),
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EEXIST)
}

/// The system calls, of which tests have one fail.
#[derive(Debug, Default)]
struct Calls {
    #[cfg(test)]
    faults: tests::Faults,
}

impl Calls {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have it fail")]
    const fn check(&self) -> Result<(), Errno> {
        Ok(())
    }

    #[cfg(test)]
    fn check(&self) -> Result<(), Errno> {
        self.faults.check()
    }

    fn create(&self, directory: BorrowedFd<'_>, name: &OsStr, how: OFlag) -> Result<File, Errno> {
        #[cfg(test)]
        self.faults.check_create(how)?;
        self.check()?;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | how;
        openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
    }

    fn mode(&self, file: &File, mode: Mode) -> Result<(), Errno> {
        self.check()?;
        fchmod(file, mode)
    }

    fn sync(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.check()?;
        File::from(file.try_clone_to_owned()?).sync_all()
    }

    /// Names a file that has no name; the way through /proc needs no privilege.
    fn link_unnamed(
        &self,
        file: &File,
        directory: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), Errno> {
        self.check()?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(directory, path.as_str(), directory, name, AtFlags::AT_SYMLINK_FOLLOW) {
            Err(Errno::ENOENT) => linkat(file, "", directory, name, AtFlags::AT_EMPTY_PATH),
            done => done,
        }
    }

    fn link(&self, directory: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        self.check()?;
        linkat(directory, from, directory, to, AtFlags::empty())
    }

    fn rename(&self, directory: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        self.check()?;
        renameat(directory, from, directory, to)
    }

    fn rename_new(&self, directory: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        self.check()?;
        renameat2(directory, from, directory, to, RenameFlags::RENAME_NOREPLACE)
    }

    fn remove(&self, directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// Which call fails, counted from 0, and whether files without names are known.
    #[derive(Debug, Default)]
    pub(super) struct Faults {
        calls_before: Cell<Option<u32>>,
        always_named: bool,
    }

    impl Faults {
        pub(super) fn check(&self) -> Result<(), Errno> {
            match self.calls_before.get() {
                Some(0) => Err(Errno::ENOSPC),
                Some(left) => {
                    self.calls_before.set(left.checked_sub(1));
                    Ok(())
                }
                None => Ok(()),
            }
        }

        pub(super) fn check_create(&self, how: OFlag) -> Result<(), Errno> {
            let is_unnamed = how.contains(OFlag::O_TMPFILE);
            if self.always_named && is_unnamed { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
        }
    }

    /// An empty directory that goes away.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("wksp-checkpt-publish-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn draft(&self, always_named: bool, fail_at: Option<u32>) -> Result<Draft, PublishError> {
            let faults = Faults { calls_before: Cell::new(fail_at), always_named };
            let directory = File::open(&self.0).unwrap();
            let draft = Draft::with_calls(Calls { faults }, directory.as_fd(), OsStr::new("file"))?;
            draft.file().write_all(b"new").unwrap();
            Ok(draft)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_appears_with_its_mode_and_replaces_only_when_asked() {
        for always_named in [false, true] {
            let directory = Directory::new(&format!("modes-{always_named}"));
            let file = directory.0.join("file");
            directory.draft(always_named, None).unwrap().publish(0o640, Existing::Keep).unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"new");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
            fs::write(&file, b"old").unwrap();

            let draft = directory.draft(always_named, None).unwrap();
            let refused = draft.publish(0o600, Existing::Keep);
            assert!(matches!(refused, Err(PublishError::Exists { .. })), "{refused:?}");
            assert_eq!(fs::read(&file).unwrap(), b"old");

            let draft = directory.draft(always_named, None).unwrap();
            draft.publish(0o600, Existing::Replace).unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"new");
            assert_eq!(directory.names(), ["file"]);
        }
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        for always_named in [false, true] {
            let directory = Directory::new(&format!("dropped-{always_named}"));
            drop(directory.draft(always_named, None).unwrap());
            assert!(directory.names().is_empty());
        }
    }

    #[test]
    fn a_failure_of_any_call_leaves_what_was_there() {
        for always_named in [false, true] {
            for existing in [Existing::Keep, Existing::Replace] {
                let directory = Directory::new(&format!("faults-{always_named}-{existing:?}"));
                let file = directory.0.join("file");
                for fail_at in 0.. {
                    if existing == Existing::Replace {
                        fs::write(&file, b"old").unwrap();
                    }
                    let done = directory
                        .draft(always_named, Some(fail_at))
                        .and_then(|draft| draft.publish(0o600, existing));
                    match done {
                        Ok(()) => {
                            assert!(fail_at > 3);
                            break;
                        }
                        Err(PublishError::SyncDirectory(_)) if existing == Existing::Replace => {
                            assert_eq!(fs::read(&file).unwrap(), b"new");
                        }
                        Err(_) if existing == Existing::Replace => {
                            assert_eq!(fs::read(&file).unwrap(), b"old");
                            assert_eq!(directory.names(), ["file"]);
                        }
                        Err(_) => assert!(directory.names().is_empty()),
                    }
                }
            }
        }
    }
}
