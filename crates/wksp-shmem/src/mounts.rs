//! The file systems on the three directories of a base: mounting, unmounting, and what is there.
//!
//! Regions of normal pages lie on a tmpfs, those of huge and gigantic pages on a hugetlbfs with pages
//! of that size.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount as mount_at, umount2};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, mkdirat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, getegid, geteuid, unlinkat};

use crate::page_size::PageSize;

/// What mount tables call the device of our file systems.
const SOURCE: &str = "wksp";
/// The mode of directories that are only there to be mounted on.
const MOUNT_POINT_MODE: Mode = Mode::from_bits_truncate(0o755);
/// The permission to write for everybody, and the bit that makes it harmless.
const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// All bits that a directory may have.
const MODE_MAX: u32 = 0o1777;

/// How directories for regions are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountOptions {
    /// Their permission bits, and perhaps the sticky bit, which they must have if everybody may
    /// write to them.
    pub mode: u32,
    /// The user that they belong to.
    pub uid: u32,
    /// The group that they belong to.
    pub gid: u32,
    /// The most bytes that regions of normal pages may have together, `None` for half of the memory.
    pub normal_bytes_max: Option<u64>,
}

/// What was done to the directory for regions of a page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountChange {
    /// A file system was mounted on it.
    Mounted,
    /// Its file system was there, and got another owner or mode.
    Adjusted,
    /// Its file system was unmounted, and what was in it is gone.
    Unmounted,
    /// All was as it should be.
    Unchanged,
}

/// What is in the place of the directory for regions of a page size.
#[derive(Debug)]
pub struct DirectoryStatus {
    /// The page size.
    pub page_size: PageSize,
    /// The directory.
    pub path: PathBuf,
    /// What is there.
    pub state: DirectoryState,
}

/// What is in the place of a directory for regions.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryState {
    /// Nothing.
    Missing,
    /// A directory that no file system of its own is mounted on.
    NotMounted {
        /// Its owner and mode.
        owner: Owner,
    },
    /// A directory with the right file system.
    Mounted {
        /// Its owner and mode.
        owner: Owner,
    },
    /// A directory with another file system, or with pages of another size.
    Foreign {
        /// The kind of the file system, as of statfs(2).
        kind: i64,
        /// The size of its blocks, which on hugetlbfs is that of the pages.
        block_bytes: u64,
    },
    /// It cannot be looked at, or is no directory.
    Unknown {
        /// What the system said.
        source: io::Error,
    },
}

/// Whose a directory is, and who else may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permission bits, and the sticky bit.
    pub mode: u32,
}

/// Why a directory for regions was not mounted or unmounted. Those before it in order were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// Everybody could remove the regions of others.
    #[error(
        "{}may not have mode {mode:04o}: everybody could remove and replace what is in there; give it \
         the sticky bit (1777), or fewer permissions",
        path.as_ref().map_or_else(|| "directories for regions ".to_owned(), |path| format!("{} ", path.display()))
    )]
    WorldWritable {
        /// The directory, `None` if none was made so.
        path: Option<PathBuf>,
        /// The mode.
        mode: u32,
    },
    /// The mode has other bits than those for permission and the sticky bit.
    #[error("directories for regions cannot have mode {mode:o}: use 0 to 1777")]
    BadMode {
        /// The mode asked for.
        mode: u32,
    },
    /// The kernel or the processor does not have pages of that size.
    #[error("this machine has no {page_size} pages: leave them out")]
    NoSuchPages {
        /// The size.
        page_size: PageSize,
    },
    /// Another file system is mounted there.
    #[error("another file system is mounted on {}: unmount it first", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// There are regions, which unmounting would remove.
    #[error(
        "there are {count} regions or other files in {}, which would be gone: unlink them first, or \
         ask for them to be discarded",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The number of files in it.
        count: u64,
    },
    /// Somebody has joined a region, or is in the directory.
    #[error("{} is in use: end those who have joined regions in there", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The caller may not do it.
    #[error("only root may mount, unmount and change {}", path.display())]
    Permission {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Default for MountOptions {
    /// For the calling user alone.
    fn default() -> Self {
        Self {
            mode: 0o700,
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            normal_bytes_max: None,
        }
    }
}

impl MountOptions {
    /// The same with another [`mode`](Self::mode).
    #[must_use]
    pub const fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The same with another owner.
    #[must_use]
    pub const fn with_owner(mut self, uid: u32, gid: u32) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// The same with another [`normal_bytes_max`](Self::normal_bytes_max).
    #[must_use]
    pub const fn with_normal_bytes_max(mut self, bytes: u64) -> Self {
        self.normal_bytes_max = Some(bytes);
        self
    }

    const fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid, mode: self.mode }
    }

    /// What mount(2) is told of a file system for that page size.
    fn data(&self, page_size: PageSize) -> String {
        let Self { mode, uid, gid, normal_bytes_max } = self;
        let owner = format!("mode={mode:o},uid={uid},gid={gid}");
        match page_size {
            PageSize::Normal => match normal_bytes_max {
                Some(bytes) => format!("{owner},size={bytes}"),
                None => owner,
            },
            PageSize::Huge | PageSize::Gigantic => {
                format!("{owner},pagesize={}", page_size.bytes())
            }
        }
    }
}

impl Owner {
    /// Whether everybody may remove what belongs to others.
    #[must_use]
    pub const fn is_unsafe(&self) -> bool {
        self.mode & WORLD_WRITABLE != 0 && self.mode & STICKY == 0
    }

    fn of(stat: &FileStat) -> Self {
        let mode = stat.st_mode & !SFlag::S_IFMT.bits();
        Self { uid: stat.st_uid, gid: stat.st_gid, mode }
    }
}

/// Sees to it that the directory of a base for regions of `page_size` is there, is a file system of
/// its own with those pages, and has the owner and the mode of `options`.
///
/// Makes the base directory as well, but not those above it. What is in the directory stays, and so
/// does the size of a file system that is there already.
///
/// # Errors
///
/// [`MountError`].
pub fn mount(
    base: &Path,
    page_size: PageSize,
    options: &MountOptions,
) -> Result<MountChange, MountError> {
    let owner = options.owner();
    if owner.mode & !MODE_MAX != 0 {
        return Err(MountError::BadMode { mode: owner.mode });
    }
    if owner.is_unsafe() {
        return Err(MountError::WorldWritable { path: None, mode: owner.mode });
    }
    let path = base.join(page_size.directory());
    let failed = |errno| refused(&path, errno);
    let base_directory = make_base(base)?;
    match mkdirat(&base_directory, page_size.directory(), MOUNT_POINT_MODE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let directory = open_in(base_directory.as_fd(), page_size).map_err(failed)?;
    match state(base_directory.as_fd(), directory.as_fd(), page_size) {
        DirectoryState::Mounted { owner: found } if found == owner => Ok(MountChange::Unchanged),
        DirectoryState::Mounted { .. } => {
            adjust(directory.as_fd(), owner).map_err(failed)?;
            Ok(MountChange::Adjusted)
        }
        DirectoryState::NotMounted { .. } => {
            let kind = if page_size == PageSize::Normal { "tmpfs" } else { "hugetlbfs" };
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            // By descriptor, so that nobody can put something else in its place meanwhile.
            let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
            let data = options.data(page_size);
            match mount_at(Some(SOURCE), target.as_str(), Some(kind), flags, Some(data.as_str())) {
                Ok(()) => Ok(MountChange::Mounted),
                Err(Errno::EINVAL | Errno::ENODEV) if page_size != PageSize::Normal => {
                    Err(MountError::NoSuchPages { page_size })
                }
                Err(errno) => Err(failed(errno)),
            }
        }
        DirectoryState::Unknown { source } => Err(MountError::Io { path, source }),
        DirectoryState::Foreign { .. } | DirectoryState::Missing => {
            Err(MountError::Foreign { path })
        }
    }
}

/// Sees to it that no file system is mounted on the directory of a base for regions of `page_size`,
/// and removes the directory, and the base directory if nothing else is in it.
///
/// With `discard`, regions that are there are gone then; those who have joined one prevent it.
///
/// # Errors
///
/// [`MountError`], above all [`MountError::NotEmpty`] and [`MountError::Busy`].
pub fn unmount(base: &Path, page_size: PageSize, discard: bool) -> Result<MountChange, MountError> {
    let path = base.join(page_size.directory());
    let failed = |errno| refused(&path, errno);
    let base_directory = match open(base, directory_flags(), Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(MountChange::Unchanged),
        Err(errno) => return Err(failed(errno)),
    };
    let mut change = MountChange::Unchanged;
    loop {
        match state_in(base_directory.as_fd(), page_size) {
            DirectoryState::Missing => break,
            DirectoryState::NotMounted { .. } => {
                // What is in there is somebody's, and not in the way of anything.
                let removed =
                    unlinkat(&base_directory, page_size.directory(), UnlinkatFlags::RemoveDir);
                if !matches!(removed, Ok(()) | Err(Errno::ENOTEMPTY | Errno::EBUSY)) {
                    removed.map_err(failed)?;
                }
                break;
            }
            DirectoryState::Mounted { .. } => {
                let count = file_count(base_directory.as_fd(), page_size).map_err(failed)?;
                if count > 0 && !discard {
                    return Err(MountError::NotEmpty { path, count });
                }
            }
            DirectoryState::Foreign { .. } => return Err(MountError::Foreign { path }),
            DirectoryState::Unknown { source } => return Err(MountError::Io { path, source }),
        }
        let target =
            format!("/proc/self/fd/{}/{}", base_directory.as_raw_fd(), page_size.directory());
        umount2(target.as_str(), MntFlags::UMOUNT_NOFOLLOW).map_err(failed)?;
        change = MountChange::Unmounted;
    }
    drop(base_directory);
    // It stays if anything else is in it, or if it is not ours to remove.
    let _ = std::fs::remove_dir(base);
    Ok(change)
}

/// What is in the place of the three directories of a base, in ascending order of page size.
///
/// Needs no privilege.
#[must_use]
pub fn directories(base: &Path) -> Vec<DirectoryStatus> {
    let opened = open(base, directory_flags(), Mode::empty());
    let state = |page_size| match &opened {
        Ok(directory) => state_in(directory.as_fd(), page_size),
        Err(Errno::ENOENT) => DirectoryState::Missing,
        Err(errno) => DirectoryState::Unknown { source: (*errno).into() },
    };
    let status = |page_size: PageSize| DirectoryStatus {
        page_size,
        path: base.join(page_size.directory()),
        state: state(page_size),
    };
    PageSize::ALL.into_iter().map(status).collect()
}

/// Opens the base directory, and makes it if it is not there.
fn make_base(base: &Path) -> Result<OwnedFd, MountError> {
    let failed = |errno| refused(base, errno);
    match nix::unistd::mkdir(base, MOUNT_POINT_MODE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let directory = open(base, directory_flags(), Mode::empty()).map_err(failed)?;
    let owner = Owner::of(&fstat(&directory).map_err(failed)?);
    if owner.is_unsafe() {
        return Err(MountError::WorldWritable { path: Some(base.to_owned()), mode: owner.mode });
    }
    Ok(directory)
}

fn directory_flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

fn open_in(base: BorrowedFd<'_>, page_size: PageSize) -> nix::Result<OwnedFd> {
    let how = directory_flags() | OFlag::O_NOFOLLOW;
    openat(base, page_size.directory(), how, Mode::empty())
}

fn state_in(base: BorrowedFd<'_>, page_size: PageSize) -> DirectoryState {
    match open_in(base, page_size) {
        Ok(directory) => state(base, directory.as_fd(), page_size),
        Err(Errno::ENOENT) => DirectoryState::Missing,
        Err(errno) => DirectoryState::Unknown { source: errno.into() },
    }
}

fn state(base: BorrowedFd<'_>, directory: BorrowedFd<'_>, page_size: PageSize) -> DirectoryState {
    let found = fstat(base).and_then(|above| {
        let stat = fstat(directory)?;
        Ok((above.st_dev != stat.st_dev, Owner::of(&stat), fstatfs(directory)?))
    });
    let (is_mounted, owner, stat) = match found {
        Ok(found) => found,
        Err(errno) => return DirectoryState::Unknown { source: errno.into() },
    };
    let block_bytes = u64::try_from(stat.block_size()).unwrap_or(0);
    let is_right = match page_size {
        PageSize::Normal => stat.filesystem_type() == TMPFS_MAGIC,
        PageSize::Huge | PageSize::Gigantic => {
            stat.filesystem_type() == HUGETLBFS_MAGIC && block_bytes == page_size.bytes()
        }
    };
    match (is_mounted, is_right) {
        (false, _) => DirectoryState::NotMounted { owner },
        (true, true) => DirectoryState::Mounted { owner },
        (true, false) => DirectoryState::Foreign { kind: stat.filesystem_type().0, block_bytes },
    }
}

/// Gives the directory at the root of a file system another owner and mode.
fn adjust(directory: BorrowedFd<'_>, owner: Owner) -> nix::Result<()> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = openat(directory, ".", how, Mode::empty())?;
    // First nobody, so that at no moment somebody may do what neither owner allows.
    fchmod(&directory, Mode::empty())?;
    fchown(&directory, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(&directory, Mode::from_bits_truncate(owner.mode))
}

fn file_count(base: BorrowedFd<'_>, page_size: PageSize) -> nix::Result<u64> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory = Dir::openat(base, page_size.directory(), how, Mode::empty())?;
    let mut count = 0_u64;
    for entry in directory.iter() {
        let is_file = !matches!(entry?.file_name().to_bytes(), b"." | b"..");
        count = count.saturating_add(u64::from(is_file));
    }
    Ok(count)
}

fn refused(path: &Path, errno: Errno) -> MountError {
    let path = path.to_owned();
    match errno {
        Errno::EPERM | Errno::EACCES => MountError::Permission { path },
        Errno::EBUSY => MountError::Busy { path },
        errno => MountError::Io { path, source: errno.into() },
    }
}
