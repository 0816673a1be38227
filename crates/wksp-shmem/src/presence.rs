//! Who has joined a region: a lock on one byte of its file, far beyond its end.
//!
//! A process that has joined holds a shared open-file-description lock, and which byte it is on says
//! who holds it. The kernel gives it back when the process dies, however it dies; it is visible in
//! every pid namespace; and it means nothing to programs that do not know of it.
//!
//! The lock belongs to the open file, so a forked child shares it: a process that has died is still
//! shown as long as such a child lives and has not executed another program. So presence shows that
//! somebody may be there, and only its absence proves anything.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::stat;

use crate::incarnation::Incarnation;
use crate::region::Region;

/// The first of the bytes that stand for processes; no file is as long as that.
const FIRST: u64 = 1 << 62;
/// The bits of a process id: process ids are less than 2^22, see [`PID_LIMIT`].
const PID_BITS: u32 = 22;
/// The bits of the inode of a pid namespace.
const NAMESPACE_BITS: u32 = 32;
/// The number of bytes that stand for the processes of one pid namespace.
const SPAN_OF_NAMESPACE: u64 = 1 << PID_BITS;
/// The number of bytes that stand for processes.
const SPAN: u64 = 1 << (NAMESPACE_BITS + PID_BITS);
/// The most processes that are told apart.
const JOINERS_MAX: usize = 4096;

/// Less than this is every process id, in every pid namespace.
///
/// proc_sys_kernel(5): pid_max is one more than the greatest process id, and at most 2^22.
pub const PID_LIMIT: u32 = 1 << PID_BITS;

/// A pid namespace, by the inode of its file in /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PidNamespace(u32);

impl PidNamespace {
    /// The one that the machine started with.
    pub const INITIAL: Self = Self(0xEFFF_FFFC);

    /// The one of the calling process.
    ///
    /// # Errors
    ///
    /// What the system says if /proc cannot be read.
    pub fn current() -> io::Result<Self> {
        Self::at("/proc/self/ns/pid")
    }

    /// The one of the process whose /proc file is `path`.
    pub(crate) fn at(path: &str) -> io::Result<Self> {
        let inode = stat(path)?.st_ino;
        u32::try_from(inode).map(Self).map_err(io::Error::other)
    }

    /// The inode.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PidNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid:[{}]", self.0)
    }
}

/// A process that has joined a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Joiner {
    /// The pid namespace of the process.
    pub namespace: PidNamespace,
    /// What it is called in that namespace.
    pub pid: u32,
}

impl Joiner {
    /// The calling process.
    pub(crate) fn current() -> io::Result<Self> {
        Ok(Self { namespace: PidNamespace::current()?, pid: Incarnation::current().pid() })
    }

    const fn byte(self) -> u64 {
        FIRST | (self.namespace.0 as u64) << PID_BITS | (self.pid % PID_LIMIT) as u64
    }

    fn of_byte(byte: u64) -> Option<Self> {
        let offset = byte.checked_sub(FIRST).filter(|&offset| offset < SPAN)?;
        let namespace = PidNamespace(u32::try_from(offset >> PID_BITS).ok()?);
        Some(Self { namespace, pid: u32::try_from(offset & (SPAN_OF_NAMESPACE - 1)).ok()? })
    }
}

/// Who has joined a region, of those who know of presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiners {
    /// The processes, in ascending order.
    pub list: Vec<Joiner>,
    /// Whether these are all.
    ///
    /// They are not if there are more than 4096, or if a program that means something else by it
    /// has locked many bytes at once, which hides the locks beneath.
    pub is_complete: bool,
}

/// Lists the processes that have joined a region and know of presence.
///
/// Costs about two system calls for each.
/// C programs do not show up here: see [`mappers`](crate::mappers).
///
/// # Errors
///
/// What the system says if the file has no such locks.
pub fn joiners(region: &Region) -> io::Result<Joiners> {
    let mut joiners = others(region.as_fd())?;
    let own = region.announced().filter(|own| !joiners.list.contains(own));
    joiners.list.extend(own);
    joiners.list.sort_unstable();
    Ok(joiners)
}

/// Those who have joined by other open files than this one, in no particular order.
///
/// The kernel leaves out the locks of the open file that it is asked by. To ask by another one
/// would take the permission to open the region once more, which a process may have given up.
fn others(file: BorrowedFd<'_>) -> io::Result<Joiners> {
    let mut joiners = Joiners { list: Vec::new(), is_complete: true };
    // Ranges of bytes not asked about yet. A lock found splits its range in two.
    let mut ranges = Vec::new();
    let mut next = Some(FIRST..FIRST.saturating_add(SPAN));
    while let Some(range) = next.take().or_else(|| ranges.pop()) {
        if range.is_empty() {
            continue;
        }
        if joiners.list.len() >= JOINERS_MAX {
            joiners.is_complete = false;
            break;
        }
        let bytes = range.end.saturating_sub(range.start);
        let Some(found) = conflict(file, range.start, bytes)? else { continue };
        let (lo, hi) = (found.start.max(range.start), found.end.min(range.end));
        if found.end.saturating_sub(found.start) == 1 {
            joiners.list.extend(Joiner::of_byte(lo));
        } else {
            joiners.is_complete = false;
        }
        ranges.push(range.start..lo);
        ranges.push(hi.max(lo.saturating_add(1))..range.end);
    }
    Ok(joiners)
}

/// Shows that `joiner` has joined, until the last copy of the descriptor is closed.
pub(crate) fn announce(file: BorrowedFd<'_>, joiner: Joiner) -> io::Result<()> {
    let lock = lock(libc::F_RDLCK, joiner.byte(), 1)?;
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock))?;
    Ok(())
}

/// A lock of another open file that overlaps with so many bytes, if there is one.
fn conflict(
    file: BorrowedFd<'_>,
    start: u64,
    bytes: u64,
) -> io::Result<Option<std::ops::Range<u64>>> {
    let mut lock = lock(libc::F_WRLCK, start, bytes)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    if i32::from(lock.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let start = u64::try_from(lock.l_start).map_err(io::Error::other)?;
    // A length of 0 means up to the greatest offset.
    let end = match u64::try_from(lock.l_len).map_err(io::Error::other)? {
        0 => u64::MAX,
        bytes => start.saturating_add(bytes),
    };
    Ok(Some(start..end))
}

fn lock(kind: i32, start: u64, bytes: u64) -> io::Result<libc::flock> {
    Ok(libc::flock {
        l_type: i16::try_from(kind).map_err(io::Error::other)?,
        l_whence: i16::try_from(libc::SEEK_SET).map_err(io::Error::other)?,
        l_start: i64::try_from(start).map_err(io::Error::other)?,
        l_len: i64::try_from(bytes).map_err(io::Error::other)?,
        l_pid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn joiner(namespace: u32, pid: u32) -> Joiner {
        Joiner { namespace: PidNamespace(namespace), pid }
    }

    #[test]
    fn a_byte_says_who_holds_it() {
        for joiner in [joiner(0xEFFF_FFFC, 1), joiner(u32::MAX, PID_LIMIT - 1), joiner(0, 0)] {
            assert_eq!(Joiner::of_byte(joiner.byte()), Some(joiner));
            assert!(i64::try_from(joiner.byte()).is_ok());
        }
        assert_eq!(Joiner::of_byte(FIRST - 1), None);
        assert_eq!(Joiner::of_byte(FIRST + SPAN), None);
    }

    #[test]
    fn all_joiners_are_found_and_gone_when_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wanted = [joiner(3, 7), joiner(0xEFFF_FFFC, 1), joiner(0xEFFF_FFFC, PID_LIMIT - 1)];
        let open: Vec<File> = wanted.iter().map(|_| File::open(file.path()).unwrap()).collect();
        for (file, joiner) in open.iter().zip(wanted) {
            announce(file.as_fd(), joiner).unwrap();
        }
        let found = |file: &File| {
            let mut found = others(file.as_fd()).unwrap();
            assert!(found.is_complete);
            found.list.sort_unstable();
            found.list
        };
        assert_eq!(found(file.as_file()), wanted);
        assert_eq!(found(&open[1]), [wanted[0], wanted[2]]);
        drop(open);
        assert_eq!(found(file.as_file()), []);
    }

    #[test]
    fn locks_of_other_programs_do_not_confuse() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let (wide, ours) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        let all = lock(libc::F_RDLCK, FIRST - 10, 0).unwrap();
        fcntl(&wide, FcntlArg::F_OFD_SETLK(&all)).unwrap();
        announce(ours.as_fd(), joiner(5, 5)).unwrap();
        assert!(!others(ours.as_fd()).unwrap().is_complete);
    }
}
