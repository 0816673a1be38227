//! Failures to set a machine up for regions, or back.

use std::path::Path;

use wksp_shmem::{HostResetError, MountError, PagePoolError};

use super::{Failure, Kind};
use crate::plural::Plural;
use crate::shell;

/// What is said of a directory for regions that was not mounted or unmounted.
pub(crate) fn mount(error: &MountError) -> Failure {
    match error {
        MountError::WorldWritable { path: None, mode } => Failure::usage(
            format_args!(
                "with mode {mode:04o} everybody could remove and replace the regions of others"
            ),
            "say `--mode 1777`, or give fewer permissions, as `--mode 0770` does",
        ),
        MountError::WorldWritable { path: Some(path), mode } => Failure::new(
            Kind::Permission,
            format_args!(
                "{} has mode {mode:04o}: everybody could replace what is in there",
                path.display()
            ),
            format_args!("as root `chmod o-w {}`", shell::path(path)),
        ),
        MountError::BadMode { mode } => Failure::usage(
            format_args!("directories for regions cannot have mode {mode:o}"),
            "give permission bits in octal, as in `--mode 0700`; 1777 is the most",
        ),
        MountError::NoSuchPages { page_size } => Failure::new(
            Kind::NotFound,
            format_args!("this kernel or processor has no {page_size} pages"),
            "`ls /sys/kernel/mm/hugepages` shows which it has; leave --page-size out to take those",
        ),
        MountError::Foreign { path } => Failure::new(
            Kind::Failed,
            format_args!("another file system is mounted on {}", path.display()),
            format_args!("see what it is with `findmnt {0}`, then `umount {0}`", shell::path(path)),
        ),
        MountError::NotEmpty { path, count } => Failure::new(
            Kind::Failed,
            format_args!("there are regions in {}: {}", path.display(), Plural(*count, "file")),
            "`wksp-ctl ls` lists them; say --yes to lose them",
        ),
        MountError::Busy { path } => Failure::new(
            Kind::Busy,
            format_args!("{} is in use by somebody who has joined a region there", path.display()),
            format_args!("`fuser -vm {}` shows who; end them, then try again", shell::path(path)),
        ),
        MountError::Permission { path } => Failure::new(
            Kind::Permission,
            format_args!("only root may mount, unmount or change {}", path.display()),
            "give the same command with `sudo` in front of it; in a container that takes \
             `docker run --cap-add SYS_ADMIN`",
        ),
        MountError::Io { path, source } => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            let remedy = match Kind::of_io(source) {
                Kind::NotFound => {
                    format!("make what it lies in: `mkdir -p {}`", shell::path(parent))
                }
                _ => format!("look at what is there: `ls -la {}`", shell::path(parent)),
            };
            Failure::io(format_args!("cannot use {}", path.display()), source, remedy)
        }
        error => Failure::new(Kind::Failed, error, "`wksp-ctl host status` shows what is there"),
    }
}

/// What is said of pages that cannot be counted, reserved or released.
pub(crate) fn pool(error: &PagePoolError) -> Failure {
    match error {
        PagePoolError::NoSuchPool { node, page_size, .. } => Failure::new(
            Kind::NotFound,
            format_args!(
                "there is no node {node}, or this kernel or processor has no {page_size} pages"
            ),
            "`wksp-ctl host status` lists what there is",
        ),
        PagePoolError::Normal => Failure::usage(
            "normal pages need not be reserved: any free memory has them",
            "say `--page-size huge` or `--page-size gigantic`",
        ),
        PagePoolError::Permission { path } => Failure::new(
            Kind::Permission,
            format_args!("only root may change the number of pages in {}", path.display()),
            "give the same command with `sudo` in front of it; in a container /sys has to be \
             writable besides, as `mount -o remount,rw /sys` makes it",
        ),
        PagePoolError::Io { path, source } => Failure::io(
            format_args!("cannot use {}", path.display()),
            source,
            format_args!("look what it says: `cat {}`", shell::path(path)),
        ),
        error => Failure::new(Kind::Failed, error, "`wksp-ctl host status` shows what there is"),
    }
}

/// What is said of a machine that was not set back, or not all of it.
pub(crate) fn reset(error: &HostResetError) -> Failure {
    match error {
        HostResetError::Mount(error) => mount(error),
        HostResetError::Pool(error) => pool(error),
        error => Failure::new(Kind::Failed, error, "`wksp-ctl host status` shows what is left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use wksp_shmem::{NodeIndex, PageSize};

    #[test]
    fn each_error_has_a_kind_of_its_own_and_a_command_as_its_remedy() {
        let path = || Path::new("/mnt/it's").to_owned();
        let errors = [
            (MountError::WorldWritable { path: None, mode: 0o777 }, Kind::Usage),
            (MountError::WorldWritable { path: Some(path()), mode: 0o777 }, Kind::Permission),
            (MountError::BadMode { mode: 0o4777 }, Kind::Usage),
            (MountError::NoSuchPages { page_size: PageSize::Gigantic }, Kind::NotFound),
            (MountError::Foreign { path: path() }, Kind::Failed),
            (MountError::NotEmpty { path: path(), count: 2 }, Kind::Failed),
            (MountError::Busy { path: path() }, Kind::Busy),
            (MountError::Permission { path: path() }, Kind::Permission),
            (MountError::Io { path: path(), source: Errno::ENOENT.into() }, Kind::NotFound),
            (MountError::Io { path: path(), source: Errno::EIO.into() }, Kind::Failed),
        ];
        let mut remedies = Vec::new();
        for (error, kind) in errors {
            let failure = mount(&error);
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.remedy.contains('`'), "{failure:?}");
            // A shell takes the path for what it is.
            assert!(!failure.remedy.contains("/mnt/it's"), "{failure:?}");
            remedies.push(failure.remedy);
        }
        remedies.sort();
        remedies.dedup();
        assert_eq!(remedies.len(), 10, "{remedies:?}");
        let (node, page_size) = (NodeIndex::new(7), PageSize::Huge);
        for (error, kind) in [
            (PagePoolError::NoSuchPool { node, page_size, path: path() }, Kind::NotFound),
            (PagePoolError::Normal, Kind::Usage),
            (PagePoolError::Permission { path: path() }, Kind::Permission),
            (PagePoolError::Io { path: path(), source: Errno::EIO.into() }, Kind::Failed),
        ] {
            let failure = pool(&error);
            assert!(failure.kind == kind && failure.remedy.contains('`'), "{failure:?}");
        }
    }
}
