//! Failures to use a base directory.

use std::path::Path;

use wksp_shmem::{BASE_VARIABLE, BaseError, PageSize};

use super::{Failure, Kind};
use crate::shell;

/// What is said of a base directory that cannot be used.
pub(crate) fn base(error: &BaseError) -> Failure {
    let elsewhere = format!("choose another base directory by --base or {BASE_VARIABLE}");
    match error {
        BaseError::NotFound { path } if larger_pages(path).is_some() => Failure::new(
            Kind::NotFound,
            format_args!("there is no directory {}", path.display()),
            larger_pages(path).map(|page_size| set_up(path, page_size)).unwrap_or_default(),
        ),
        BaseError::NotFound { path } => Failure::new(
            Kind::NotFound,
            format_args!("there is no directory {}", path.display()),
            format_args!(
                "make it, for instance by `mkdir -m 700 {}`, or {elsewhere}",
                path.display()
            ),
        ),
        BaseError::NotADirectory { path } => Failure::new(
            Kind::Corrupt,
            format_args!("{} must be a directory and no symbolic link", path.display()),
            format_args!("move it out of the way, or {elsewhere}"),
        ),
        BaseError::ForeignOwner { path, owner_uid, uid } => Failure::new(
            Kind::Permission,
            format_args!("{} belongs to user {owner_uid} and not to user {uid}", path.display()),
            format_args!("do not trust it; {elsewhere}"),
        ),
        BaseError::NotPrivate { path, mode } => Failure::new(
            Kind::Permission,
            format_args!("{} has mode {mode:04o} and so is not private", path.display()),
            format_args!("see what is in it, then `chmod 700 {}`, or {elsewhere}", path.display()),
        ),
        BaseError::Io { path, source } => Failure::io(
            format_args!("cannot use the directory {}", path.display()),
            source,
            elsewhere,
        ),
        error => Failure::new(Kind::Failed, error, elsewhere),
    }
}

/// The page size that a directory stands for, if those are pages that the kernel reserves.
fn larger_pages(path: &Path) -> Option<PageSize> {
    let larger = [PageSize::Huge, PageSize::Gigantic];
    larger.into_iter().find(|page_size| path.ends_with(page_size.directory()))
}

/// How a directory comes to have pages of that size.
pub(super) fn set_up(path: &Path, page_size: PageSize) -> String {
    let base = path.parent().unwrap_or(path);
    let command = shell::tool(base, &format!("host init --page-size {page_size}"));
    format!("as root `{command}`")
}
