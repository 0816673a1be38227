//! Failures to write, read or restore a checkpoint.

use std::path::Path;

use wksp_checkpt::publish::{Existing, PublishError};
use wksp_checkpt::{Problem, ReadError, RestoreError, WriteError};
use wksp_core::{Misfit, Name};

use super::{Failure, Kind, not_rebuildable};
use crate::destination;

const NO_FILE: &str = "no file was left behind; choose another place or make room";

/// What is said of a checkpoint that was not written.
pub(crate) fn write(name: &Name, what: &str, error: &WriteError) -> Failure {
    match error {
        WriteError::Workspace(_) | WriteError::Name(_) => Failure::new(
            Kind::Corrupt,
            format_args!("cannot take a checkpoint of {name}: {error}"),
            format_args!("`wksp-ctl verify {name}` shows in which state it is"),
        ),
        WriteError::TooLong { .. }
        | WriteError::HasNul { .. }
        | WriteError::Level { .. }
        | WriteError::LooksLikeDigest => {
            Failure::usage(error, "`wksp-ctl checkpt --help` says what there is")
        }
        WriteError::Sink { source, .. } => {
            Failure::io(format_args!("cannot write {what}"), source, NO_FILE)
        }
        WriteError::Memory { .. } | WriteError::Compressor => no_memory(what),
        WriteError::Cancelled => interrupted(
            format_args!("the checkpoint of {name} was interrupted"),
            "no file was left behind",
        ),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot take a checkpoint of {name}: {error}"),
            "no file was left behind; try again",
        ),
    }
}

/// What is said of a file that did not get its name.
pub(crate) fn publish(path: &Path, existing: Existing, error: &PublishError) -> Failure {
    let what = format!("cannot write {}", path.display());
    match error {
        PublishError::SyncDirectory(source) if existing == Existing::Replace => Failure::io(
            format_args!("{} is written, but may not outlive a power failure", path.display()),
            source,
            "it has replaced the one before; make sure of it with `sync`",
        ),
        PublishError::Exists { .. } => destination::exists(path),
        PublishError::Create(source)
        | PublishError::Mode(source)
        | PublishError::Sync(source)
        | PublishError::Link { source, .. }
        | PublishError::SyncDirectory(source) => Failure::io(what, source, NO_FILE),
        error => Failure::new(Kind::Failed, format_args!("{what}: {error}"), NO_FILE),
    }
}

/// What is said of a checkpoint that cannot be read.
pub(crate) fn read(what: &str, error: &ReadError) -> Failure {
    let another = "nothing was changed; take another copy of the checkpoint";
    match error {
        ReadError::Source { source, .. } => Failure::io(
            format_args!("cannot read {what}"),
            source,
            "nothing was changed; try again",
        ),
        ReadError::Truncated { offset } => Failure::new(
            Kind::Corrupt,
            format_args!("{what} was cut off: it should go on at offset {offset}"),
            another,
        ),
        ReadError::Malformed { problem: Problem::Magic { found }, .. } => Failure::new(
            Kind::Corrupt,
            format_args!("{what} is no checkpoint: it begins with {found:#018x}"),
            "name a file that `wksp-ctl checkpt` or the tools in C have written",
        ),
        ReadError::Malformed { offset, problem } => Failure::new(
            Kind::Corrupt,
            format_args!("{what} is damaged at offset {offset}: {problem}"),
            another,
        ),
        ReadError::Digest { expected, found } => Failure::new(
            Kind::Corrupt,
            format_args!("{what} is damaged: its digest is {found:08x} instead of {expected:08x}"),
            another,
        ),
        ReadError::Spool { source, .. } => Failure::io(
            format_args!("cannot keep {what} in a temporary file"),
            source,
            "make room, or let TMPDIR name another directory",
        ),
        ReadError::Sink(source) => {
            Failure::io(format_args!("cannot pass on what was read from {what}"), source, NO_FILE)
        }
        ReadError::Memory { .. } => no_memory(what),
        ReadError::Cancelled => {
            interrupted(format_args!("reading {what} was interrupted"), "nothing was changed")
        }
        error => Failure::new(Kind::Failed, format_args!("cannot read {what}: {error}"), another),
    }
}

/// What is said of a checkpoint that was not restored.
pub(crate) fn restore(name: &Name, what: &str, error: &RestoreError) -> Failure {
    match error {
        RestoreError::Misfit(misfit) => self::misfit(name, what, misfit),
        RestoreError::Refused(error) => read(what, error),
        RestoreError::Cancelled => interrupted(
            format_args!("restoring {what} into {name} was interrupted"),
            "nothing was changed",
        ),
        RestoreError::Source(error) => {
            let failure = read(what, error);
            Failure {
                cause: format!("{}; {name} is empty now", failure.cause),
                remedy: "restore another copy of the checkpoint".to_owned(),
                ..failure
            }
        }
        RestoreError::Workspace(error) => not_rebuildable(name, error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot restore {what} into {name}: {error}"),
            format_args!("`wksp-ctl verify {name}` shows in which state it is"),
        ),
    }
}

fn misfit(name: &Name, what: &str, misfit: &Misfit) -> Failure {
    let kind = match misfit {
        Misfit::Outside { .. } | Misfit::TooFewRecords { .. } => Kind::NoRoom,
        _ => Kind::Corrupt,
    };
    Failure::new(
        kind,
        format_args!("{what} does not fit into {name}: {misfit}"),
        format_args!(
            "nothing was changed; `wksp-ctl inspect --brief` says what it was taken of, \
             `wksp-ctl restore --create` makes a workspace like that"
        ),
    )
}

fn no_memory(what: &str) -> Failure {
    Failure::new(
        Kind::NoRoom,
        format_args!("there is not enough memory to work on {what}"),
        "take fewer --threads, or free some memory",
    )
}

fn interrupted(cause: impl std::fmt::Display, remedy: &str) -> Failure {
    Failure::new(Kind::Interrupted, cause, remedy)
}
