//! What went wrong, in the three forms in which it leaves the program: an exit code for scripts, a
//! line of cause and a line of remedy for people.

mod base;
mod checkpoint;
mod create;
mod host;
mod lock;
mod machine;
mod operation;
mod placement;
mod region;

use std::fmt::Display;
use std::io;

use serde::{Serialize, Serializer};

pub(crate) use self::base::base;
pub(crate) use self::checkpoint::{publish, read, restore, write};
pub(crate) use self::create::create;
pub(crate) use self::host::{mount, pool, reset};
pub(crate) use self::lock::{LockContext, lock, not_rebuildable, stranger};
pub(crate) use self::machine::{plan, sequence, topology};
pub(crate) use self::operation::{alloc, copy, edit, free, no_allocation, vanished};
pub(crate) use self::placement::{Lack, lacks, more_pages, placement, residence};
pub(crate) use self::region::{attach, map, region};

/// The kind of a failure, which decides on the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None of the others.
    Failed,
    /// The same, where the exit code of that means something else.
    Undecided,
    /// What was typed makes no sense, whatever there is.
    Usage,
    /// What was named is not there.
    NotFound,
    /// There is too little memory, or there are too few partition records.
    NoRoom,
    /// What is there is damaged, or not what it should be.
    Corrupt,
    /// Somebody else has it.
    Busy,
    /// It is there, but not for this user.
    Permission,
    /// Somebody asked to end.
    Interrupted,
}

impl Kind {
    /// All kinds, in the order of their exit codes.
    pub(crate) const ALL: [Self; 8] = [
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::NoRoom,
        Self::Corrupt,
        Self::Busy,
        Self::Permission,
        Self::Interrupted,
    ];

    /// What it stands for, as the help and the manual have it.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Failed | Self::Undecided => "failed",
            Self::Usage => "usage: what was typed makes no sense",
            Self::NotFound => "not found: no such workspace, allocation, file or directory",
            Self::NoRoom => "no memory, no room on the disk, or no partition records",
            Self::Corrupt => "corrupt: damaged, or no workspace at all",
            Self::Busy => "busy: locked by somebody who lives, or still joined",
            Self::Permission => "permission",
            Self::Interrupted => "interrupted",
        }
    }

    /// The word for it, as JSON and metrics have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Failed | Self::Undecided => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::NoRoom => "no_room",
            Self::Corrupt => "corrupt",
            Self::Busy => "busy",
            Self::Permission => "permission",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code, as docs/cli.md has it.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage | Self::Undecided => 2,
            Self::NotFound => 3,
            Self::NoRoom => 4,
            Self::Corrupt => 5,
            Self::Busy => 6,
            Self::Permission => 7,
            Self::Interrupted => 130,
        }
    }

    /// The kind of an error of the system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission,
            io::ErrorKind::OutOfMemory
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoRoom,
            io::ErrorKind::ResourceBusy => Self::Busy,
            _ => Self::Failed,
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Decides on the exit code.
    pub(crate) kind: Kind,
    /// What was asked and what was found, in one line.
    pub(crate) cause: String,
    /// What to do about it, in one line.
    pub(crate) remedy: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, cause: impl Display, remedy: impl Display) -> Self {
        Self { kind, cause: cause.to_string(), remedy: remedy.to_string() }
    }

    pub(crate) fn usage(cause: impl Display, remedy: impl Display) -> Self {
        Self::new(Kind::Usage, cause, remedy)
    }

    /// An error of the system.
    pub(crate) fn io(what: impl Display, error: &io::Error, remedy: impl Display) -> Self {
        Self::new(Kind::of_io(error), format_args!("{what}: {error}"), remedy)
    }
}
