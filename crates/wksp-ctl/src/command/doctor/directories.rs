//! The base directory, and the directory in it for each page size.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::{AccessFlags, faccessat, getegid, geteuid};
use wksp_shmem::{BaseSource, DirectoryState, DirectoryStatus, Owner, PagePool, PageSize};

use super::finding::{Check, Finding};
use crate::base_path::BasePath;
use crate::failure::Kind;
use crate::shell;

const BASE: Check = Check {
    name: "base-directory",
    why: "All regions are in it; whoever may replace what is in there can have others use theirs.",
};
const NORMAL: Check = Check {
    name: "normal-directory",
    why: "Regions of normal pages are in it, and stay in memory only on a tmpfs.",
};
const HUGE: Check = Check {
    name: "huge-directory",
    why: "Regions of huge pages (2 MiB) are in it, and take a hugetlbfs with pages of that size.",
};
const GIGANTIC: Check = Check {
    name: "gigantic-directory",
    why: "Regions of gigantic pages (1 GiB) are in it, and take a hugetlbfs with pages of that size.",
};

/// The permission bits, and the sticky bit.
const MODE_BITS: u32 = 0o1777;

pub(super) fn check(base: &BasePath, directories: &[DirectoryStatus]) -> Vec<Finding> {
    let mut findings = vec![check_base(base)];
    findings.extend(directories.iter().map(|directory| check_directory(base, directory)));
    findings
}

fn check_base(base: &BasePath) -> Finding {
    let (path, shown) = (&base.path, base.path.display());
    let quoted = shell::path(path);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match base.source {
                BaseSource::Private => {
                    BASE.ok(format_args!("{shown} is not there, and is made on first use"))
                }
                _ => BASE.bad(
                    Kind::NotFound,
                    format_args!("{shown} is not there"),
                    Some(format!("mkdir -m 700 {quoted}")),
                ),
            };
        }
        Err(error) => {
            let command = Some(format!("ls -ld {quoted}"));
            return BASE.bad(Kind::of_io(&error), format_args!("{shown}: {error}"), command);
        }
    };
    if !metadata.is_dir() {
        let command = Some(format!("mv {quoted} {}", shell::word(&format!("{shown}.old"))));
        return BASE.bad(Kind::Corrupt, format_args!("{shown} is no directory"), command);
    }
    let owner =
        Owner { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & MODE_BITS };
    let found = format!("{shown} {}", described(owner));
    if owner.is_unsafe() {
        return unsafe_mode(BASE, path, &found);
    }
    if base.source == BaseSource::Private {
        if owner.uid != geteuid().as_raw() {
            let command = Some(format!("ls -ld {quoted}"));
            return BASE.bad(
                Kind::Permission,
                format_args!("{found}: it should be yours, and is not used"),
                command,
            );
        }
        if owner.mode & 0o077 != 0 {
            let command = Some(format!("chmod 700 {quoted}"));
            return BASE.bad(
                Kind::Permission,
                format_args!("{found}: it is not private, and is not used"),
                command,
            );
        }
    }
    BASE.ok(found)
}

fn check_directory(base: &BasePath, directory: &DirectoryStatus) -> Finding {
    let DirectoryStatus { page_size, path, state } = directory;
    let check = match page_size {
        PageSize::Normal => NORMAL,
        PageSize::Huge => HUGE,
        PageSize::Gigantic => GIGANTIC,
    };
    let shown = path.display();
    let init = Some(init_command(base, *page_size));
    match state {
        DirectoryState::Mounted { owner } | DirectoryState::NotMounted { owner }
            if owner.is_unsafe() =>
        {
            unsafe_mode(check, path, &format!("{shown} {}", described(*owner)))
        }
        DirectoryState::Mounted { owner } => usable(check, base, directory, *owner, "is mounted"),
        DirectoryState::NotMounted { owner } if *page_size == PageSize::Normal => {
            if statfs(path).is_ok_and(|stat| stat.filesystem_type() == TMPFS_MAGIC) {
                return usable(check, base, directory, *owner, "is on a tmpfs");
            }
            check.warning(format_args!("{shown} is on no tmpfs, but on a disk or the like"), init)
        }
        DirectoryState::NotMounted { .. } | DirectoryState::Missing
            if *page_size != PageSize::Normal && !has_pages(*page_size) =>
        {
            check.ok(format_args!(
                "{shown} is not mounted, but this kernel or processor has no {page_size} pages"
            ))
        }
        DirectoryState::NotMounted { .. } => {
            check.warning(format_args!("nothing is mounted on {shown}"), init)
        }
        DirectoryState::Missing => match (page_size, base.source) {
            // `new` makes it there.
            (
                PageSize::Normal,
                BaseSource::Private | BaseSource::Flag | BaseSource::Environment,
            ) => check.ok(format_args!("{shown} is not there, and is made on first use")),
            _ => check.warning(format_args!("{shown} is not there"), init),
        },
        DirectoryState::Foreign { kind, block_bytes } => check.bad(
            Kind::Failed,
            format_args!(
                "{shown} is on a file system of kind {kind:#x} in blocks of {block_bytes}, which has \
                 no {page_size} pages"
            ),
            Some(shell::as_root(&format!("umount {}", shell::path(path)))),
        ),
        DirectoryState::Unknown { source } => check.unknown(
            format_args!("{shown}: {source}"),
            Some(shell::as_root(&format!("ls -ld {}", shell::path(path)))),
        ),
        _ => check.unknown(format_args!("{shown} is in an unknown state"), None),
    }
}

/// What is found where all is well, but for the permission to use it.
fn usable(
    check: Check,
    base: &BasePath,
    directory: &DirectoryStatus,
    owner: Owner,
    state: &str,
) -> Finding {
    let path = &directory.path;
    let found = format!("{} {state} and {}", path.display(), described(owner));
    let access = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    match faccessat(nix::fcntl::AT_FDCWD, path.as_path(), access, AtFlags::AT_EACCESS) {
        Ok(()) => check.ok(found),
        Err(_) => check.warning(
            format_args!("{found}: you may not make regions there"),
            Some(init_command(base, directory.page_size)),
        ),
    }
}

fn unsafe_mode(check: Check, path: &Path, found: &str) -> Finding {
    check.bad(
        Kind::Permission,
        format_args!("{found}: everybody may remove and replace what is in there"),
        Some(shell::as_root(&format!("chmod o-w {}", shell::path(path)))),
    )
}

fn described(owner: Owner) -> String {
    let Owner { uid, gid, mode } = owner;
    format!("has mode {mode:04o} and belongs to user {uid} and group {gid}")
}

fn has_pages(page_size: PageSize) -> bool {
    // What cannot be counted may be there.
    PagePool::all().map_or(true, |pools| pools.iter().any(|pool| pool.page_size == page_size))
}

/// The command that sets the machine up for a page size, so that the caller can use it.
pub(super) fn init_command(base: &BasePath, page_size: PageSize) -> String {
    let mut command = shell::tool(&base.path, &format!("host init --page-size {page_size}"));
    if !geteuid().is_root() {
        command.push_str(&format!(" --owner {}:{}", geteuid(), getegid()));
    }
    let command = shell::as_root(&command);
    if base.source == BaseSource::Private && !base.path.exists() {
        // Made by root it would be somebody else's, and not be used.
        return format!("mkdir -m 700 {} && {command}", shell::path(&base.path));
    }
    command
}
