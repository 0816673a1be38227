//! Named regions: what there is, opening one, and removing its name.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use wksp_core::Name;

use crate::base::{BaseDir, BaseError};
use crate::page_size::PageSize;
use crate::presence::{self, Joiner};

/// For so long a lease on a region is waited for that is another program's.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// Which file a region is, whatever its name: the device and the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId {
    /// The number of the device.
    pub device: u64,
    /// The number of the inode on it.
    pub inode: u64,
}

/// What is known of a region without looking into it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "fd_shmem_info_t")]
pub struct RegionInfo {
    /// Its name.
    pub name: Name,
    /// The size of its pages.
    pub page_size: PageSize,
    /// Its size in bytes, a positive multiple of the page size.
    pub bytes: NonZeroUsize,
    /// Its permission bits.
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// Which file it is.
    pub id: RegionId,
    /// When it was last opened to be read, as far as the file system keeps that.
    pub accessed: SystemTime,
    /// When its bytes were last changed other than through memory.
    pub modified: SystemTime,
    /// When its size, owner, mode or number of names were last changed.
    pub changed: SystemTime,
}

impl RegionInfo {
    /// The number of its pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        (self.bytes.get() as u64).checked_div(self.page_size.bytes()).unwrap_or(0)
    }
}

/// Why what is there under a name is no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotARegion {
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    SymbolicLink,
    /// It is a directory.
    #[error("it is a directory")]
    Directory,
    /// It is neither file, link nor directory.
    #[error("it is a pipe, socket or device")]
    Special,
    /// Its name cannot be that of a region.
    #[error("its name is not one of 1 to 39 letters, digits, '_', '.' and '-'")]
    Misnamed,
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// Its size is not a multiple of the page size.
    #[error("it has {bytes} bytes, which is no multiple of {}", page_size.bytes())]
    Ragged {
        /// Its size.
        bytes: u64,
        /// The page size that its directory stands for.
        page_size: PageSize,
    },
    /// It is larger than the address space.
    #[error("it has {bytes} bytes, more than this process can address")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

/// Why a region cannot be found, opened or unlinked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// There is none of that name.
    #[error(
        "there is no region {name} of {} pages under {}: list what there is, or choose another \
         base directory",
        page_size.map_or("any", PageSize::name),
        base.display()
    )]
    NotFound {
        /// The name.
        name: Name,
        /// The page size asked for, `None` for any.
        page_size: Option<PageSize>,
        /// The base directory.
        base: PathBuf,
    },
    /// There is something under that name, but no region.
    #[error("{} is no region: {why}", path.display())]
    NotARegion {
        /// Where it is.
        path: PathBuf,
        /// Why it is none.
        why: NotARegion,
    },
    /// The region is there, but not for this process.
    #[error(
        "no permission to use {}: it belongs to user {uid} and has mode {mode:04o}",
        path.display()
    )]
    Permission {
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Another program has a lease on it and was asked in vain to give it back.
    #[error(
        "another program has a lease on {} and has not given it back for {} s: find it in \
         /proc/locks and end it, or try again when the kernel has taken the lease away, after the \
         seconds in /proc/sys/fs/lease-break-time",
        path.display(),
        LEASE_PATIENCE.as_secs()
    )]
    Leased {
        /// Where it is.
        path: PathBuf,
    },
    /// The directory that it would be in cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What an open region may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Looking at it: information, presence, the bytes by reading the file.
    ReadOnly,
    /// Everything, above all mapping it.
    ReadWrite,
}

/// An open region.
///
/// It stays what it is while it is open, even if its name is removed or given to another one.
#[derive(Debug)]
pub struct Region {
    info: RegionInfo,
    path: PathBuf,
    file: OwnedFd,
    /// Who is shown as joined by the open file.
    announced: Option<Joiner>,
}

impl Region {
    /// Opens the region called `name`, of `page_size` or else of the largest pages that has it.
    ///
    /// Follows no symbolic link.
    ///
    /// # Errors
    ///
    /// [`RegionError`]. Of several page sizes only the one that counts is opened, so an error is
    /// about that one. Directories that the caller may not look into do not count, and are an error
    /// only if the others have no such region.
    pub fn open(
        base: &BaseDir,
        name: &Name,
        page_size: Option<PageSize>,
        access: Access,
    ) -> Result<Self, RegionError> {
        at(base, name, page_size, |directory, page_size| {
            Self::open_in(directory, base, name, page_size, access)
        })
    }

    fn open_in(
        directory: BorrowedFd<'_>,
        base: &BaseDir,
        name: &Name,
        page_size: PageSize,
        access: Access,
    ) -> Result<Self, RegionError> {
        let path = base.directory_path(page_size).join(name.as_str());
        let how = match access {
            Access::ReadOnly => OFlag::O_RDONLY,
            Access::ReadWrite => OFlag::O_RDWR,
        };
        // What is no file must not make us wait nor become our terminal.
        let careful = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let began = Instant::now();
        let file = loop {
            match openat(directory, name.as_str(), how | careful, Mode::empty()) {
                Ok(file) => break file,
                // Someone has a lease on it and has just been asked to give it back.
                Err(Errno::EWOULDBLOCK) if is_file(directory, name) => {
                    if began.elapsed() >= LEASE_PATIENCE {
                        return Err(RegionError::Leased { path });
                    }
                    thread::sleep(Duration::from_micros(50));
                }
                Err(errno) => return Err(refused(directory, path, name, page_size, errno)),
            }
        };
        match fstat(&file) {
            Ok(stat) => match info(*name, page_size, &stat) {
                Ok(info) => Ok(Self::from_parts(info, path, file)),
                Err(why) => Err(RegionError::NotARegion { path, why }),
            },
            Err(errno) => Err(RegionError::Io { path, source: errno.into() }),
        }
    }

    pub(crate) const fn from_parts(info: RegionInfo, path: PathBuf, file: OwnedFd) -> Self {
        Self { info, path, file, announced: None }
    }

    /// What is known of the region since it was opened.
    #[must_use]
    pub const fn info(&self) -> &RegionInfo {
        &self.info
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows in the file that the calling process has joined the region, and says as whom.
    pub(crate) fn announce(&mut self) -> io::Result<Joiner> {
        let joiner = Joiner::current()?;
        presence::announce(self.file.as_fd(), joiner)?;
        self.announced = Some(joiner);
        Ok(joiner)
    }

    /// Who is shown as joined by the open file: this process, or the one that it was forked from.
    pub(crate) const fn announced(&self) -> Option<Joiner> {
        self.announced
    }

    /// How many bytes the file has by now, and how many of them have memory.
    pub(crate) fn memory(&self) -> io::Result<FileMemory> {
        Ok(FileMemory::of(&fstat(&self.file)?))
    }
}

/// The bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileMemory {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those that have memory, a place in swap space, or one on a disk.
    pub(crate) bytes_with_memory: u64,
}

impl FileMemory {
    pub(crate) fn of(stat: &FileStat) -> Self {
        // As of stat(2), in units of 512 bytes whatever the block size. There are no negative ones.
        let with_memory = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        Self { bytes: u64::try_from(stat.st_size).unwrap_or(0), bytes_with_memory: with_memory }
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Looks a region up without opening it, so that no permission on it is needed.
///
/// # Errors
///
/// [`RegionError`], but not [`RegionError::Permission`] on the region itself.
#[doc(alias = "fd_shmem_info")]
pub fn info_of(
    base: &BaseDir,
    name: &Name,
    page_size: Option<PageSize>,
) -> Result<RegionInfo, RegionError> {
    at(base, name, page_size, |directory, page_size| info_in(directory, base, name, page_size))
}

pub(crate) fn info_in(
    directory: BorrowedFd<'_>,
    base: &BaseDir,
    name: &Name,
    page_size: PageSize,
) -> Result<RegionInfo, RegionError> {
    let path = base.directory_path(page_size).join(name.as_str());
    match fstatat(directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            info(*name, page_size, &stat).map_err(|why| RegionError::NotARegion { path, why })
        }
        Err(errno) => Err(refused(directory, path, name, page_size, errno)),
    }
}

/// Removes the name of a region, of `page_size` or else of the largest pages that has it, and says
/// which one that was.
///
/// Those who have joined it keep it until they leave; then the memory is free.
/// What is no region, other than a directory, is removed as well.
///
/// # Errors
///
/// [`RegionError`] if there is none, or it is not this user's to remove.
#[doc(alias = "fd_shmem_unlink")]
pub fn unlink(
    base: &BaseDir,
    name: &Name,
    page_size: Option<PageSize>,
) -> Result<PageSize, RegionError> {
    at(base, name, page_size, |directory, page_size| {
        let path = || base.directory_path(page_size).join(name.as_str());
        match unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(page_size),
            Err(Errno::EISDIR) => {
                Err(RegionError::NotARegion { path: path(), why: NotARegion::Directory })
            }
            Err(errno) => Err(refused(directory, path(), name, page_size, errno)),
        }
    })
}

/// Does something to the region of `page_size`, or of the largest page size that has the name.
///
/// If any will do, directories that the caller may not look into are passed over, and reported only
/// if nothing is found in the others.
fn at<T>(
    base: &BaseDir,
    name: &Name,
    page_size: Option<PageSize>,
    mut work: impl FnMut(BorrowedFd<'_>, PageSize) -> Result<T, RegionError>,
) -> Result<T, RegionError> {
    let mut forbidden = None;
    let candidates = PageSize::ALL.into_iter().rev();
    for size in candidates.filter(|&size| page_size.is_none_or(|wanted| wanted == size)) {
        let outcome = match base.open_directory(size) {
            Ok(directory) => work(directory.as_fd(), size),
            Err(BaseError::NotFound { .. }) => continue,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Err(RegionError::NotFound { .. }) => {}
            Err(RegionError::Base(error)) if error.is_permission() => {
                forbidden.get_or_insert(error);
            }
            outcome => return outcome,
        }
    }
    Err(forbidden.map_or_else(
        || RegionError::NotFound { name: *name, page_size, base: base.path().to_owned() },
        RegionError::Base,
    ))
}

/// Checks that a file is a region, and collects what is known of it.
pub(crate) fn info(
    name: Name,
    page_size: PageSize,
    stat: &FileStat,
) -> Result<RegionInfo, NotARegion> {
    kind(stat)?;
    // The system has no negative sizes and none beyond i64::MAX.
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let bytes = usize::try_from(size).map_err(|_| NotARegion::TooLarge { bytes: size })?;
    let bytes = NonZeroUsize::new(bytes).ok_or(NotARegion::Empty)?;
    if !size.is_multiple_of(page_size.bytes()) {
        return Err(NotARegion::Ragged { bytes: size, page_size });
    }
    Ok(RegionInfo {
        name,
        page_size,
        bytes,
        mode: stat.st_mode & !SFlag::S_IFMT.bits(),
        uid: stat.st_uid,
        gid: stat.st_gid,
        id: RegionId { device: stat.st_dev, inode: stat.st_ino },
        accessed: time(stat.st_atime, stat.st_atime_nsec),
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
    })
}

fn kind(stat: &FileStat) -> Result<(), NotARegion> {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFLNK => Err(NotARegion::SymbolicLink),
        SFlag::S_IFDIR => Err(NotARegion::Directory),
        _ => Err(NotARegion::Special),
    }
}

fn is_file(directory: BorrowedFd<'_>, name: &Name) -> bool {
    let stat = fstatat(directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| kind(&stat).is_ok())
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let part = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time.and_then(|time| time.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

/// Finds out why the system refused, by looking at what there is.
fn refused(
    directory: BorrowedFd<'_>,
    path: PathBuf,
    name: &Name,
    page_size: PageSize,
    errno: Errno,
) -> RegionError {
    if errno == Errno::ENOENT {
        let base = path.ancestors().nth(2).map(ToOwned::to_owned).unwrap_or_default();
        return RegionError::NotFound { name: *name, page_size: Some(page_size), base };
    }
    let source = errno.into();
    let stat = fstatat(directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
    match (errno, stat) {
        (errno, Ok(stat)) => match (kind(&stat), errno) {
            (Err(why), _) => RegionError::NotARegion { path, why },
            (Ok(()), Errno::EACCES | Errno::EPERM) => RegionError::Permission {
                path,
                uid: stat.st_uid,
                mode: stat.st_mode & !SFlag::S_IFMT.bits(),
            },
            (Ok(()), _) => RegionError::Io { path, source },
        },
        // Without the right to search the directory nothing in it can be seen.
        (Errno::EACCES, Err(Errno::EACCES)) => {
            let path = path.parent().map(ToOwned::to_owned).unwrap_or(path);
            RegionError::Base(BaseError::Io { path, source })
        }
        (_, Err(_)) => RegionError::Io { path, source },
    }
}
