//! Making regions: whole, or not at all.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, posix_fallocate};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use wksp_core::Name;

use crate::base::{BaseDir, BaseError};
use crate::page_size::PageSize;
use crate::region::{Region, RegionId, RegionInfo, info};

/// What a new region is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRegionOptions {
    /// The size of its pages.
    pub page_size: PageSize,
    /// The number of its pages.
    pub page_count: u64,
    /// Its permission bits, at most 0o777, which are applied whatever the umask.
    pub mode: u32,
}

/// Why a region was not made. Nothing was left behind, and what was there is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is something of that name.
    #[error("{} is there already: unlink it first, or choose another name", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The number of pages is 0 or so large that the bytes do not fit in 63 bits.
    #[error("a region cannot have {page_count} {page_size} pages")]
    BadSize {
        /// The number of pages asked for.
        page_count: u64,
        /// The page size asked for.
        page_size: PageSize,
    },
    /// The mode has bits beyond the nine permission bits.
    #[error("a region cannot have mode {mode:o}: permission bits go from 0 to 777")]
    BadMode {
        /// The mode asked for.
        mode: u32,
    },
    /// There is not enough memory for it.
    #[error(
        "not enough memory for {} of {bytes} bytes: free some, reserve more pages, or enlarge the \
         file system ({source})",
        path.display()
    )]
    NoMemory {
        /// Where it should have been.
        path: PathBuf,
        /// The bytes asked for.
        bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The directory for huge or gigantic pages is not on a file system that has them.
    #[error(
        "{} is not on a hugetlbfs with pages of {} bytes: mount one there first",
        path.display(),
        page_size.bytes()
    )]
    NoSuchPages {
        /// The directory.
        path: PathBuf,
        /// The page size asked for.
        page_size: PageSize,
    },
    /// The directory that it is to be in cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The system refused.
    #[error("cannot make {}: {source}", path.display())]
    Io {
        /// Where it should have been.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A region that has its memory but no name yet.
///
/// It can be filled before anyone can see it. Dropped without [`publish`](Self::publish), it leaves
/// nothing behind.
#[derive(Debug)]
pub struct NewRegion {
    region: Region,
    directory: OwnedFd,
    temporary: Option<TemporaryName>,
}

impl NewRegion {
    /// Makes a region that is to be called `name`, with all its memory, zeroed.
    ///
    /// Costs the zeroing of its pages.
    ///
    /// # Crash behaviour
    ///
    /// A process killed before [`publish`](Self::publish) leaves nothing, but for file systems that
    /// have no nameless files (as of old versions of hugetlbfs): there a file whose name begins
    /// with `.new-` can stay, which nobody takes for a region.
    ///
    /// # Errors
    ///
    /// [`CreateError`]. Where something of that name is there already, that is found out at once;
    /// if it comes to be later, [`publish`](Self::publish) finds out.
    pub fn create(
        base: &BaseDir,
        name: &Name,
        options: &NewRegionOptions,
    ) -> Result<Self, CreateError> {
        let NewRegionOptions { page_size, page_count, mode } = *options;
        let bytes = bytes_of(page_size, page_count)
            .ok_or(CreateError::BadSize { page_count, page_size })?;
        if mode & !0o777 != 0 {
            return Err(CreateError::BadMode { mode });
        }
        let path = base.directory_path(page_size).join(name.as_str());
        let failed = |errno: Errno| refused(path.clone(), bytes, errno);

        let directory = base.open_directory_for_new(page_size)?;
        check_pages(directory.as_fd(), base, page_size)?;
        match fstatat(&directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => return Err(CreateError::Exists { path }),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let (file, temporary) = nameless(directory.as_fd()).map_err(failed)?;
        // Before the mode is set, so that nobody who finds a temporary name can open it.
        allocate(file.as_fd(), bytes).map_err(failed)?;
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(failed)?;
        let stat = fstat(&file).map_err(failed)?;
        let info = info(*name, page_size, &stat)
            .map_err(|why| CreateError::Io { path: path.clone(), source: io::Error::other(why) })?;
        Ok(Self { region: Region::from_parts(info, path, file), directory, temporary })
    }

    /// What is known of the region.
    #[must_use]
    pub const fn info(&self) -> &RegionInfo {
        self.region.info()
    }

    /// The region, as an open one.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// Another handle on the same open file.
    pub(crate) fn duplicate(&self) -> Result<Region, CreateError> {
        let path = self.region.path().to_owned();
        match self.region.as_fd().try_clone_to_owned() {
            Ok(file) => Ok(Region::from_parts(self.info().clone(), path, file)),
            Err(source) => Err(CreateError::Io { path, source }),
        }
    }

    /// Gives the region its name, by which everybody can find it from now on.
    ///
    /// # Errors
    ///
    /// [`CreateError::Exists`] if something of that name has come to be meanwhile.
    pub fn publish(self) -> Result<Region, CreateError> {
        let Self { region, directory, temporary } = self;
        let name = region.info().name;
        let linked = match &temporary {
            Some(temporary) => linkat(
                &directory,
                temporary.name.as_str(),
                &directory,
                name.as_str(),
                AtFlags::empty(),
            ),
            None => linkat(
                AT_FDCWD,
                format!("/proc/self/fd/{}", region.as_fd().as_raw_fd()).as_str(),
                &directory,
                name.as_str(),
                AtFlags::AT_SYMLINK_FOLLOW,
            ),
        };
        let bytes = region.info().bytes.get() as u64;
        linked.map_err(|errno| refused(region.path().to_owned(), bytes, errno))?;
        Ok(region)
    }
}

/// A name that no region can have, removed on drop.
#[derive(Debug)]
struct TemporaryName {
    directory: OwnedFd,
    name: String,
    id: RegionId,
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        // Not if somebody has put something else there: this can only be a mistake of theirs.
        let found = fstatat(&self.directory, self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| RegionId { device: stat.st_dev, inode: stat.st_ino } == self.id) {
            let _ = unlinkat(&self.directory, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Makes a file without a name, or with a temporary one where files must have one.
fn nameless(directory: BorrowedFd<'_>) -> nix::Result<(OwnedFd, Option<TemporaryName>)> {
    let how = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    match openat(directory, ".", how | OFlag::O_TMPFILE, Mode::empty()) {
        Ok(file) => Ok((file, None)),
        Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
            temporary(directory).map(|(file, name)| (file, Some(name)))
        }
        Err(errno) => Err(errno),
    }
}

fn temporary(directory: BorrowedFd<'_>) -> nix::Result<(OwnedFd, TemporaryName)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let how = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = directory.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    // A process in another pid namespace can have the same names; so go on until one is free.
    for _ in 0..1000 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".new-{}-{count}", process::id());
        match openat(&directory, name.as_str(), how, Mode::empty()) {
            Ok(file) => {
                let stat = fstat(&file)?;
                let id = RegionId { device: stat.st_dev, inode: stat.st_ino };
                return Ok((file, TemporaryName { directory, name, id }));
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}

/// Gives the file all its memory, so that using it can never fail later.
fn allocate(file: BorrowedFd<'_>, bytes: u64) -> nix::Result<()> {
    let bytes = i64::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    loop {
        match posix_fallocate(file, 0, bytes) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

/// Checks that the directory is on a file system that has pages of that size.
fn check_pages(
    directory: BorrowedFd<'_>,
    base: &BaseDir,
    page_size: PageSize,
) -> Result<(), CreateError> {
    if page_size == PageSize::Normal {
        return Ok(());
    }
    let path = base.directory_path(page_size);
    match fstatfs(directory) {
        Ok(stat)
            if stat.filesystem_type() == HUGETLBFS_MAGIC
                && u64::try_from(stat.block_size()) == Ok(page_size.bytes()) =>
        {
            Ok(())
        }
        Ok(_) => Err(CreateError::NoSuchPages { path, page_size }),
        Err(errno) => Err(CreateError::Io { path, source: errno.into() }),
    }
}

fn bytes_of(page_size: PageSize, page_count: u64) -> Option<u64> {
    let bytes = page_size.bytes().checked_mul(page_count)?;
    let fits = i64::try_from(bytes).is_ok() && usize::try_from(bytes).is_ok();
    NonZeroUsize::new(usize::try_from(bytes).ok()?).filter(|_| fits).map(|_| bytes)
}

fn refused(path: PathBuf, bytes: u64, errno: Errno) -> CreateError {
    let source = errno.into();
    match errno {
        Errno::EEXIST => CreateError::Exists { path },
        Errno::ENOSPC | Errno::ENOMEM | Errno::EDQUOT | Errno::EFBIG => {
            CreateError::NoMemory { path, bytes, source }
        }
        _ => CreateError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A region as made where files must have names.
    fn with_temporary_name(base: &BaseDir, name: &str) -> NewRegion {
        let directory = base.open_directory(PageSize::Normal).unwrap();
        let (file, temporary) = temporary(directory.as_fd()).unwrap();
        allocate(file.as_fd(), 4096).unwrap();
        let name = Name::new(name).unwrap();
        let info = info(name, PageSize::Normal, &fstat(&file).unwrap()).unwrap();
        let path = base.directory_path(PageSize::Normal).join(name.as_str());
        let region = Region::from_parts(info, path, file);
        NewRegion { region, directory, temporary: Some(temporary) }
    }

    #[test]
    fn a_temporary_name_is_gone_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        base.make_directory(PageSize::Normal).unwrap();
        let files = || {
            let entries = fs::read_dir(base.directory_path(PageSize::Normal)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let new = with_temporary_name(&base, "kept");
        assert_eq!(files().len(), 1);
        assert!(crate::list::list(&base).entries.is_empty());
        new.publish().unwrap();
        assert_eq!(files(), ["kept"]);
        let late = with_temporary_name(&base, "kept");
        assert!(matches!(late.publish(), Err(CreateError::Exists { .. })));
        drop(with_temporary_name(&base, "dropped"));
        assert_eq!(files(), ["kept"]);
    }
}
