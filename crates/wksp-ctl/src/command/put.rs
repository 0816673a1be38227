//! `put`: a file, or standard input, becomes an allocation.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;
use wksp_checkpt::{Control, Progress};
use wksp_core::{Align, Allocation, Gaddr, Name, Tag, Workspace};
use wksp_shmem::{ProcessParty, SharedWorkspace};

use crate::effort::Effort;
use crate::failure::{self, Failure, Kind};
use crate::interrupt::Held;
use crate::output::Outcome;
use crate::session::Session;
use crate::size::Bytes;
use crate::summary::AllocationSummary;
use crate::value;

/// Copies a file or standard input into a new allocation and prints its address.
///
/// If the copy fails, the allocation is freed again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl put demo /etc/os-release
  tar c src | wksp-ctl put demo --tag 7
  address=$(wksp-ctl put demo table.bin --align 64)")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// The file, or - for standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The tag of the allocation.
    #[arg(long, default_value = value::DEFAULT_TAG, allow_negative_numbers = true)]
    tag: String,
    /// The alignment of its address within the workspace: a power of two.
    #[arg(long, value_name = "SIZE", default_value = value::DEFAULT_ALIGN)]
    #[arg(allow_negative_numbers = true)]
    align: String,
}

/// What to put where, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    /// `None` is standard input.
    file: Option<PathBuf>,
    tag: Tag,
    align: Align,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            name: value::name(&self.name)?,
            file: Some(self.file).filter(|file| file != Path::new("-")),
            tag: value::tag(&self.tag)?,
            align: value::align(&self.align)?,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let shared = session.attach(&self.name)?;
        let mut source = self.open(shared.workspace().geometry().data_max())?;
        let effort = Effort::new(session, NonZeroUsize::MIN)?;
        let (_held, allocation) = self.alloc(session, &shared, &effort, source.bytes)?;
        let lo = allocation.range.lo();
        let copied = effort
            .run("copying", |control| self.copy(&mut source, shared.workspace(), lo, &control));
        if let Err(failure) = copied {
            let freed = session.locked(&shared, |guard| {
                let freed = guard.free(allocation.range.lo());
                freed.map_err(|error| failure::free(&self.name, &error))
            });
            if let Err(second) = freed {
                session.notice("not_freed", &second.cause);
            }
            return Err(failure);
        }
        Ok(Outcome::done(Put(AllocationSummary::new(&self.name, &allocation))))
    }
}

/// Bytes to be copied, and how many there are.
struct Source {
    what: String,
    bytes: u64,
    from: Box<dyn Read>,
}

impl Plan {
    /// Allocates, and keeps signals back from then on: what is allocated has to be filled, or freed.
    fn alloc<'e>(
        &self,
        session: &Session<'_>,
        shared: &SharedWorkspace,
        effort: &'e Effort,
        bytes: u64,
    ) -> Result<(Held<'e>, Allocation), Failure> {
        session.locked(shared, |guard| {
            let held = effort.interrupt().hold();
            let gaddr = guard
                .alloc(self.align, bytes, self.tag)
                .map_err(|error| failure::alloc(&self.name, &error))?;
            let allocation = guard.allocation(gaddr);
            let allocation = allocation.ok_or_else(|| failure::vanished(&self.name, gaddr))?;
            Ok((held, allocation))
        })
    }

    /// Finds out how many bytes there are, which takes reading them if they come from a pipe.
    fn open(&self, data_max: u64) -> Result<Source, Failure> {
        let (what, source) = match &self.file {
            None => {
                let what = "standard input".to_owned();
                let source = self.spool(what.clone(), io::stdin().lock(), data_max)?;
                (what, source)
            }
            Some(path) => {
                let what = path.display().to_string();
                let failed = |error: io::Error| {
                    Failure::io(
                        format_args!("cannot read {what}"),
                        &error,
                        "name a file that can be read",
                    )
                };
                let file = File::open(path).map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                let source = if metadata.is_file() && metadata.len() > 0 {
                    Source { what: what.clone(), bytes: metadata.len(), from: Box::new(file) }
                } else {
                    // A pipe, or a file of /proc, which looks empty.
                    self.spool(what.clone(), file, data_max)?
                };
                (what, source)
            }
        };
        if source.bytes == 0 {
            return Err(Failure::new(
                Kind::Failed,
                format_args!("cannot put {what} into {}: it is empty", self.name),
                "an allocation has at least 1 byte",
            ));
        }
        Ok(source)
    }

    /// Reads everything into memory, but no more than could ever fit.
    fn spool(&self, what: String, from: impl Read, data_max: u64) -> Result<Source, Failure> {
        let mut bytes = Vec::new();
        from.take(data_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
            Failure::io(format_args!("cannot read {what}"), &error, "name a file that can be read")
        })?;
        if bytes.len() as u64 > data_max {
            return Err(Failure::new(
                Kind::NoRoom,
                format_args!(
                    "{what} has more than the {} of data that {} can hold",
                    Bytes(data_max),
                    self.name
                ),
                "create a larger workspace",
            ));
        }
        Ok(Source { what, bytes: bytes.len() as u64, from: Box::new(io::Cursor::new(bytes)) })
    }

    fn copy(
        &self,
        source: &mut Source,
        workspace: &Workspace<'_, ProcessParty>,
        mut gaddr: Gaddr,
        control: &Control<'_>,
    ) -> Result<(), Failure> {
        let Source { what, bytes, from } = source;
        let changed = |found: &str| {
            Failure::new(
                Kind::Failed,
                format_args!("{what} had {bytes} bytes and {found} while it was read"),
                "nothing is left in the workspace; try again when nobody writes to the file",
            )
        };
        let mut left = *bytes;
        let mut chunk = vec![0; 1 << 20];
        loop {
            if control.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                return Err(Failure::new(
                    Kind::Interrupted,
                    format_args!("copying {what} into {} was interrupted", self.name),
                    "nothing is left in the workspace",
                ));
            }
            if let Some(progress) = control.progress {
                progress(Progress { done_bytes: bytes.saturating_sub(left), total_bytes: *bytes });
            }
            let count = from.read(&mut chunk).map_err(|error| {
                Failure::io(format_args!("cannot read {what}"), &error, "try again")
            })?;
            let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else { break };
            left = left.checked_sub(count as u64).ok_or_else(|| changed("grew"))?;
            workspace.copy_in(gaddr, read).map_err(|error| failure::copy(&self.name, &error))?;
            gaddr = gaddr.checked_add(count as u64).ok_or_else(|| changed("grew"))?;
        }
        if left == 0 { Ok(()) } else { Err(changed("shrank")) }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Put(AllocationSummary);

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0.address)
    }
}
