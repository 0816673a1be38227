//! Failures to find, open, map or attach a region.

use wksp_core::{JoinError, MAGIC, Name};
use wksp_shmem::{AttachError, MapError, RegionError};

use super::{Failure, Kind, base};

/// What is said of a region that cannot be found or opened.
pub(crate) fn region(error: &RegionError) -> Failure {
    match error {
        RegionError::NotFound { name, page_size, base } => {
            let pages = page_size.map_or(String::new(), |size| format!(" of {size} pages"));
            Failure::new(
                Kind::NotFound,
                format_args!("there is no workspace {name}{pages} under {}", base.display()),
                "`wksp-ctl ls` lists what there is; --base and FD_SHMEM_PATH lead elsewhere",
            )
        }
        RegionError::NotARegion { path, why } => Failure::new(
            Kind::Corrupt,
            format_args!("{} is no region: {why}", path.display()),
            format_args!(
                "look at it with `ls -l {}`; if nobody needs it, `wksp-ctl rm --force` removes it",
                path.display()
            ),
        ),
        RegionError::Permission { path, uid, mode } => Failure::new(
            Kind::Permission,
            format_args!(
                "no permission to use {}: it belongs to user {uid} and has mode {mode:04o}",
                path.display()
            ),
            "become that user or root, or have them change owner or mode",
        ),
        RegionError::Leased { path } => Failure::new(
            Kind::Busy,
            format_args!("another program has a lease on {} and keeps it", path.display()),
            "`cat /proc/locks` shows whose it is, by process id and inode; end it, or try again when \
             the seconds in /proc/sys/fs/lease-break-time are over",
        ),
        RegionError::Base(error) => base(error),
        RegionError::Io { path, source } => Failure::io(
            format_args!("cannot use {}", path.display()),
            source,
            "the system refused; look at the file and its directory with `ls -la`",
        ),
        error => Failure::new(Kind::Failed, error, "`wksp-ctl ls` lists what there is"),
    }
}

/// What is said of a region that cannot be mapped.
pub(crate) fn map(error: &MapError) -> Failure {
    match error {
        MapError::Shrunk { path, bytes } => Failure::new(
            Kind::Corrupt,
            format_args!("{} no longer has the {bytes} bytes that it had", path.display()),
            "somebody makes the file shorter while it is in use: find out who does",
        ),
        MapError::Presence { path, source } => Failure::io(
            format_args!("cannot lock a byte of {} to show who has joined", path.display()),
            source,
            "the file system must have open-file-description locks, as tmpfs and hugetlbfs do",
        ),
        MapError::Map { path, bytes, source } => Failure::io(
            format_args!("cannot map the {bytes} bytes of {}", path.display()),
            source,
            "see `ulimit -v`, and for huge pages /proc/meminfo",
        ),
        MapError::TooFewPages { path, bytes, source } => Failure::new(
            Kind::NoRoom,
            format_args!(
                "there is no memory for all of the {bytes} bytes of {}: {source}",
                path.display()
            ),
            "`wksp-ctl host status` shows how many pages are free; as root `wksp-ctl host reserve` \
             has more",
        ),
        MapError::NotLocked { path, bytes, source } => Failure::new(
            Kind::of_io(source),
            format_args!("cannot lock the {bytes} bytes of {} in memory: {source}", path.display()),
            "`ulimit -l` shows how much may be; as root `prlimit --pid $$ --memlock=unlimited`",
        ),
        error => Failure::new(Kind::Failed, error, "see `ulimit -a`"),
    }
}

/// What is said of a workspace that cannot be attached.
pub(crate) fn attach(name: &Name, error: &AttachError) -> Failure {
    match error {
        AttachError::Region(error) => region(error),
        AttachError::Map(error) => map(error),
        AttachError::Join { source, .. } => join(name, source),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot attach {name}: {error}"),
            "`wksp-ctl ls` shows what it is",
        ),
    }
}

fn join(name: &Name, error: &JoinError) -> Failure {
    let cause = match error {
        JoinError::NoHeader { bytes } => {
            format!("{name} has {bytes} bytes, too few for the header of a workspace")
        }
        JoinError::NotAWorkspace { magic } => {
            format!("{name} is no workspace: it begins with {magic:#018x} instead of {MAGIC:#018x}")
        }
        JoinError::BadGeometry(error) => format!("the header of {name} is damaged: {error}"),
        JoinError::BadBounds { lo, hi, expected } => format!(
            "the header of {name} is damaged: it puts the data at [{lo}, {hi}) instead of {expected}"
        ),
        JoinError::Truncated { footprint, bytes } => format!(
            "the header of {name} describes {footprint} bytes, but its region has only {bytes}: \
             it is damaged or was truncated"
        ),
        error => format!("{name} cannot be joined: {error}"),
    };
    Failure::new(
        Kind::Corrupt,
        cause,
        format_args!(
            "look for another region of that name with `wksp-ctl ls`; if this one is lost, keep a \
             copy of its file and `wksp-ctl rm {name}`"
        ),
    )
}
