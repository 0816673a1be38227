//! What is compared: a workspace or a checkpoint, told apart by how it is named and what there is.

use std::fmt;
use std::path::{Path, PathBuf};

use wksp_checkpt::Checkpoint;
use wksp_core::{Allocation, Guard, Name};
use wksp_shmem::{ProcessParty, SharedWorkspace};

use crate::effort::Effort;
use crate::failure::{Failure, Kind};
use crate::session::Session;
use crate::source::{Source, SourceName};
use crate::stored;

/// A workspace or checkpoint as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OperandName(PathBuf);

/// One that was found.
pub(super) enum Operand {
    Workspace(SharedWorkspace),
    Checkpoint(Source),
}

/// One of which everything but the bytes is known, and of a workspace not even that.
pub(super) enum Side<'s> {
    Workspace(&'s SharedWorkspace),
    Checkpoint(String, Box<Checkpoint<'s>>),
}

impl OperandName {
    pub(super) const fn new(typed: PathBuf) -> Self {
        Self(typed)
    }

    pub(super) fn is_stdin(&self) -> bool {
        self.0 == Path::new("-")
    }

    /// The name of the workspace that it would be.
    fn workspace(&self) -> Option<Name> {
        self.0.to_str().and_then(|text| Name::new(text).ok())
    }

    /// Finds it.
    pub(super) fn open(&self, session: &Session<'_>) -> Result<Operand, Failure> {
        let checkpoint = || SourceName::new(self.0.clone()).open().map(Operand::Checkpoint);
        // No base directory is made for a look at files.
        let name = self.workspace().filter(|_| session.base_path().path.is_dir());
        let Some(name) = name else { return checkpoint() };
        match session.attach(&name) {
            Ok(shared) => Ok(Operand::Workspace(shared)),
            Err(failure) if failure.kind != Kind::NotFound => Err(failure),
            Err(_) => checkpoint().map_err(|failure| match failure.kind {
                Kind::NotFound => Failure::new(
                    Kind::NotFound,
                    format_args!("there is neither a workspace nor a file called {name}"),
                    "`wksp-ctl ls` lists the workspaces; a file can be anywhere",
                ),
                _ => failure,
            }),
        }
    }
}

impl fmt::Display for OperandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_stdin() { f.write_str("standard input") } else { self.0.display().fmt(f) }
    }
}

impl Operand {
    /// Reads of a checkpoint what there is but for the data, and checks that as well if asked to.
    pub(super) fn side(
        &mut self,
        session: &Session<'_>,
        effort: &Effort,
        verify: bool,
    ) -> Result<Side<'_>, Failure> {
        let source = match self {
            Self::Workspace(shared) => return Ok(Side::Workspace(shared)),
            Self::Checkpoint(source) => source,
        };
        let name = source.name().to_owned();
        let checkpoint = source.checkpoint(u64::MAX)?;
        if verify {
            let is_protected = effort.verify(&name, &checkpoint)?.is_protected();
            stored::notice_unverified(session, &name, is_protected);
        }
        Ok(Side::Checkpoint(name, Box::new(checkpoint)))
    }
}

impl Side<'_> {
    /// What it is.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Workspace(_) => "workspace",
            Self::Checkpoint(..) => "checkpoint",
        }
    }
}

/// What is allocated in a workspace, in ascending order of address.
pub(super) fn allocations(
    shared: &SharedWorkspace,
    guard: &Guard<'_, '_, ProcessParty>,
) -> Result<Vec<Allocation>, Failure> {
    let mut all = Vec::new();
    for partition in guard.partitions() {
        let partition = partition.map_err(|damage| {
            let name = shared.joined().name();
            Failure::new(
                Kind::Corrupt,
                format_args!("the list of partitions of {name} ends early: {damage}"),
                format_args!("`wksp-ctl rebuild {name}` builds it anew"),
            )
        })?;
        all.extend(partition.tag.map(|tag| Allocation { range: partition.range, tag }));
    }
    Ok(all)
}
