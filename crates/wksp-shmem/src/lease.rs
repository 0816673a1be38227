//! Whether a region is open or mapped at all other than by one open file of this process.
//!
//! The kernel grants a write lease on a file only to its sole open file: every other one, and every
//! mapping, which keeps its open file, stands against it, of any process in any pid namespace.
//! Only who shares the very open file does not: a child that this process has forked. Such a child
//! cannot lock by what it has inherited, and one that has attached anew has an open file of its own.
//! So a lease that is granted proves that whoever else was inside the workspace is gone.
//!
//! The lease is given back at once. A program that opens the region just then waits until it is, or
//! is told to come back where it does not want to wait, as [`Region::open`](crate::Region::open)
//! does, for a second at most. The kernel then sends a signal to the lease's holder, which would be SIGIO and deadly; it
//! is asked to send SIGURG instead, which processes ignore unless they ask for it.
//!
//! # Safety
//!
//! The only unsafe code is fcntl with commands whose argument is a plain number, on a descriptor
//! that is borrowed. It accesses no memory of the process.
#![expect(unsafe_code, reason = "three fcntl commands that have no safe form; see above")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, HUGETLBFS_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC,
    fstatfs,
};

/// The command that chooses the signal, as of asm-generic/fcntl.h; the libc crate lacks it.
const F_SETSIG: c_int = 10;

/// The file systems whose files are used through this machine's kernel only, and by one inode each.
const LOCAL: [FsType; 5] =
    [TMPFS_MAGIC, HUGETLBFS_MAGIC, EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC];

/// Whether the open file is the only one of its file, and all mappings are of it.
///
/// `None` if the kernel does not say: the file is another user's, or of a file system that has no
/// leases or none that prove anything.
pub(crate) fn is_sole_user(file: BorrowedFd<'_>) -> Option<bool> {
    let kind = fstatfs(file).ok()?.filesystem_type();
    LOCAL.contains(&kind).then_some(())?;
    command(file, F_SETSIG, libc::SIGURG).ok()?;
    match command(file, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => {
            // Cannot fail for a lease that is there; if it did, no harm but to those who open it.
            let _ = command(file, libc::F_SETLEASE, libc::F_UNLCK);
            Some(true)
        }
        Err(Errno::EAGAIN) => Some(false),
        Err(_) => None,
    }
}

fn command(file: BorrowedFd<'_>, command: c_int, argument: c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open, and the argument of these commands is a number.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BaseDir;
    use crate::page_size::PageSize;
    use crate::region::{Access, Region, RegionError};
    use std::fs::OpenOptions;
    use std::os::fd::AsFd;

    #[test]
    fn another_open_file_is_another_user() {
        let path = tempfile::NamedTempFile::new_in("/dev/shm").unwrap().into_temp_path();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(is_sole_user(file.as_fd()), Some(true));
        let other = OpenOptions::new().read(true).open(&path).unwrap();
        assert_eq!(is_sole_user(file.as_fd()), Some(false));
        drop(other);
        assert_eq!(is_sole_user(file.as_fd()), Some(true));
    }

    #[test]
    fn a_lease_that_is_not_given_back_is_waited_for_with_a_bound() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        base.make_directory(PageSize::Normal).unwrap();
        let path = base.directory_path(PageSize::Normal).join("leased");
        std::fs::write(&path, [0; 4096]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let name = wksp_core::Name::new("leased").unwrap();
        let open = || Region::open(&base, &name, None, Access::ReadWrite);

        command(file.as_fd(), F_SETSIG, libc::SIGURG).unwrap();
        command(file.as_fd(), libc::F_SETLEASE, libc::F_WRLCK).unwrap();
        let error = open().unwrap_err();
        assert!(matches!(&error, RegionError::Leased { path: found } if *found == path), "{error}");
        assert!(error.to_string().contains("for 1 s"), "{error}");
        command(file.as_fd(), libc::F_SETLEASE, libc::F_UNLCK).unwrap();
        open().unwrap();
    }
}
