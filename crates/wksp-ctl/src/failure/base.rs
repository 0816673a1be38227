//! Failures to use a base directory.

use wksp_shmem::{BASE_VARIABLE, BaseError};

use super::{Failure, Kind};

/// What is said of a base directory that cannot be used.
pub(crate) fn base(error: &BaseError) -> Failure {
    let elsewhere = format!("choose another base directory by --base or {BASE_VARIABLE}");
    match error {
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
