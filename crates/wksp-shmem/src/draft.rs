//! Files that are to become regions: without a name, until they have their memory and their contents.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, posix_fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, ftruncate, linkat, unlinkat};
use wksp_core::Name;

use crate::base::BaseDir;
use crate::create::CreateError;
use crate::page_size::PageSize;
use crate::place::{Failure, PlacementReport, place};
use crate::placement::{Binding, Plan};
use crate::region::{Region, RegionId, info};

/// Size and mode of a region that can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    page_size: PageSize,
    bytes: NonZeroUsize,
    mode: Mode,
}

impl Shape {
    pub(crate) fn new(
        page_size: PageSize,
        page_count: u64,
        mode: u32,
    ) -> Result<Self, CreateError> {
        let bytes = page_size.bytes().checked_mul(page_count);
        let bytes = bytes.filter(|bytes| i64::try_from(*bytes).is_ok());
        let bytes = bytes.and_then(|bytes| NonZeroUsize::new(usize::try_from(bytes).ok()?));
        let bytes = bytes.ok_or(CreateError::BadSize { page_count, page_size })?;
        if mode & !0o777 != 0 {
            return Err(CreateError::BadMode { mode });
        }
        Ok(Self { page_size, bytes, mode: Mode::from_bits_truncate(mode) })
    }
}

/// A file that is to become a region. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    shape: Shape,
    path: PathBuf,
    file: OwnedFd,
    place: NamingPlace,
}

/// Where a file gets its name in the end.
#[derive(Debug)]
pub(crate) struct NamingPlace {
    directory: OwnedFd,
    temporary: Option<TemporaryName>,
}

impl Draft {
    /// Makes a file, without memory, in the directory for its page size.
    pub(crate) fn new(base: &BaseDir, name: &Name, shape: Shape) -> Result<Self, CreateError> {
        let page_size = shape.page_size;
        let path = base.directory_path(page_size).join(name.as_str());
        let failed = |errno| refused(path.clone(), shape.bytes, errno);
        let directory = base.open_directory_for_new(page_size)?;
        check_pages(directory.as_fd(), base, page_size)?;
        match fstatat(&directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => return Err(CreateError::Exists { path }),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let (file, temporary) = nameless(directory.as_fd()).map_err(failed)?;
        Ok(Self { shape, path, file, place: NamingPlace { directory, temporary } })
    }

    /// Gives the file its memory, wherever the kernel takes it from.
    pub(crate) fn allocate(&self) -> Result<(), CreateError> {
        allocate_all(self.file.as_fd(), self.shape.bytes)
            .map_err(|errno| refused(self.path.clone(), self.shape.bytes, errno))
    }

    /// Gives the file its memory as planned.
    pub(crate) fn place(
        &self,
        plan: &Plan,
        binding: Binding,
    ) -> Result<PlacementReport, CreateError> {
        place_in(self.file.as_fd(), self.shape, plan, binding)
            .map_err(|failure| failed(self.path.clone(), self.shape.bytes, failure))
    }

    /// Makes the file a region, which gets its name in the place that is returned.
    pub(crate) fn finish(self, name: Name) -> Result<(Region, NamingPlace), CreateError> {
        let Self { shape, path, file, place } = self;
        Ok((region_of(file, path, name, shape)?, place))
    }
}

/// Makes a region in memory that no directory has, with its memory as planned.
pub(crate) fn in_memory(
    name: Name,
    shape: Shape,
    plan: &Plan,
    binding: Binding,
) -> Result<(Region, PlacementReport), CreateError> {
    let path = path_in_memory(&name);
    let pages = match shape.page_size {
        PageSize::Normal => MFdFlags::empty(),
        PageSize::Huge => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB,
        PageSize::Gigantic => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_1GB,
    };
    let file = match memfd_create(name.as_str(), MFdFlags::MFD_CLOEXEC | pages) {
        Ok(file) => file,
        Err(Errno::ENODEV | Errno::EINVAL) if shape.page_size != PageSize::Normal => {
            return Err(CreateError::NoSuchPages { path, page_size: shape.page_size });
        }
        Err(errno) => return Err(refused(path, shape.bytes, errno)),
    };
    let report = place_in(file.as_fd(), shape, plan, binding)
        .map_err(|failure| failed(path.clone(), shape.bytes, failure))?;
    Ok((region_of(file, path, name, shape)?, report))
}

/// What a region in memory is called in messages, and in memory maps after a slash.
pub(crate) fn path_in_memory(name: &Name) -> PathBuf {
    PathBuf::from(format!("memfd:{name}"))
}

fn place_in(
    file: BorrowedFd<'_>,
    shape: Shape,
    plan: &Plan,
    binding: Binding,
) -> Result<PlacementReport, Failure> {
    let bytes = i64::try_from(shape.bytes.get()).map_err(|_| Errno::EFBIG)?;
    ftruncate(file, bytes)?;
    place(file, shape.bytes, shape.page_size, plan, binding)
}

fn region_of(
    file: OwnedFd,
    path: PathBuf,
    name: Name,
    shape: Shape,
) -> Result<Region, CreateError> {
    let failed = |errno| refused(path.clone(), shape.bytes, errno);
    // When it has its memory, so that nobody who finds a temporary name can open it before.
    fchmod(&file, shape.mode).map_err(failed)?;
    let stat = fstat(&file).map_err(failed)?;
    match info(name, shape.page_size, &stat) {
        Ok(info) => Ok(Region::from_parts(info, path, file)),
        Err(why) => Err(CreateError::Io { path, source: io::Error::other(why) }),
    }
}

fn failed(path: PathBuf, bytes: NonZeroUsize, failure: Failure) -> CreateError {
    match failure {
        Failure::Placement(error) => CreateError::Placement { path, source: Box::new(error) },
        Failure::System(errno) => refused(path, bytes, errno),
    }
}

fn refused(path: PathBuf, bytes: NonZeroUsize, errno: Errno) -> CreateError {
    let (bytes, source) = (bytes.get() as u64, errno.into());
    match errno {
        Errno::EEXIST => CreateError::Exists { path },
        Errno::ENOSPC | Errno::ENOMEM | Errno::EDQUOT | Errno::EFBIG => {
            CreateError::NoMemory { path, bytes, source }
        }
        _ => CreateError::Io { path, source },
    }
}

impl NamingPlace {
    /// Gives a region its name.
    pub(crate) fn publish(&self, region: &Region) -> Result<(), CreateError> {
        let name = region.info().name;
        let linked = match &self.temporary {
            Some(temporary) => linkat(
                &self.directory,
                temporary.name.as_str(),
                &self.directory,
                name.as_str(),
                AtFlags::empty(),
            ),
            None => linkat(
                AT_FDCWD,
                format!("/proc/self/fd/{}", region.as_fd().as_raw_fd()).as_str(),
                &self.directory,
                name.as_str(),
                AtFlags::AT_SYMLINK_FOLLOW,
            ),
        };
        linked.map_err(|errno| refused(region.path().to_owned(), region.info().bytes, errno))
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

/// Gives a file its size and all its memory, so that using it can never fail later.
fn allocate_all(file: BorrowedFd<'_>, bytes: NonZeroUsize) -> nix::Result<()> {
    allocate(file, 0, i64::try_from(bytes.get()).map_err(|_| Errno::EFBIG)?)
}

/// Gives a part of a file its memory.
pub(crate) fn allocate(file: BorrowedFd<'_>, offset: i64, bytes: i64) -> nix::Result<()> {
    loop {
        match posix_fallocate(file, offset, bytes) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A region as made where files must have names.
    fn with_temporary_name(base: &BaseDir, name: &str) -> (Region, NamingPlace) {
        let directory = base.open_directory(PageSize::Normal).unwrap();
        let (file, temporary) = temporary(directory.as_fd()).unwrap();
        let path = base.directory_path(PageSize::Normal).join(name);
        let place = NamingPlace { directory, temporary: Some(temporary) };
        let shape = Shape::new(PageSize::Normal, 1, 0o600).unwrap();
        let draft = Draft { shape, path, file, place };
        draft.allocate().unwrap();
        draft.finish(Name::new(name).unwrap()).unwrap()
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
        let (region, place) = with_temporary_name(&base, "kept");
        assert_eq!(files().len(), 1);
        assert!(crate::list::list(&base).entries.is_empty());
        place.publish(&region).unwrap();
        drop(place);
        assert_eq!(files(), ["kept"]);
        let (late, place) = with_temporary_name(&base, "kept");
        assert!(matches!(place.publish(&late), Err(CreateError::Exists { .. })));
        drop(place);
        drop(with_temporary_name(&base, "dropped"));
        assert_eq!(files(), ["kept"]);
    }
}
