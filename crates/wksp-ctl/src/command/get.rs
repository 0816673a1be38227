//! `get`: an allocation becomes a file, or goes to standard output.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::{Builder, NamedTempFile};
use wksp_core::{Allocation, Observed};
use wksp_shmem::WorkspaceAddress;

use crate::destination::{exists, is_stream};
use crate::failure::{self, Failure, Kind};
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::{Outcome, unless_closed};
use crate::plural::Plural;
use crate::session::Session;
use crate::summary::AllocationSummary;
use crate::value;

/// Copies the allocation that covers an address to a file or to standard output.
///
/// A file is written whole or not at all, and never over another one without --force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl get demo:69632 > os-release
  wksp-ctl get demo:69632 os-release --force
  wksp-ctl get demo:69632 --salvage # from a workspace that cannot be recovered")]
pub(crate) struct Args {
    /// Any byte of the allocation.
    address: String,
    /// The file, or - for standard output.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Go by the records alone, whatever the index over them says.
    #[arg(long, conflicts_with = "lock")]
    salvage: bool,
    #[command(flatten)]
    look: LookArgs,
}

/// What to copy where, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    address: WorkspaceAddress,
    /// `None` is standard output.
    file: Option<PathBuf>,
    force: bool,
    salvage: bool,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            address: value::address(&self.address)?,
            file: Some(self.file).filter(|file| file != Path::new("-")),
            force: self.force,
            salvage: self.salvage,
            look: self.look,
        })
    }
}

/// The permission bits of a new file, before the umask.
const NEW_FILE_MODE: u32 = 0o666;

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        if session.is_json() && self.file.is_none() {
            return Err(Failure::usage(
                "both the allocation and the JSON would go to standard output",
                "name a file to get the allocation, or leave --json out",
            ));
        }
        let sight = Sight::open(session, &self.address.name, self.look)?;
        let Observed { value: allocation, doubt } = self.find(session, &sight)?;
        let Some(path) = &self.file else {
            let mut stdout = io::stdout().lock();
            return match self.copy(session, &sight, &allocation, &mut stdout) {
                Ok(()) => Ok(Outcome::written()),
                Err(Stop::Write(error)) => unless_closed(error).map(|()| Outcome::written()),
                Err(Stop::Failed(failure)) => Err(failure),
            };
        };
        self.write(session, &sight, &allocation, path)?;
        let allocation = AllocationSummary::at(self.address, &allocation);
        let doubt = doubt.map(DoubtReport::new);
        Ok(Outcome::done(Got { allocation, file: path.display().to_string(), doubt }))
    }
}

/// Why a copy ended early.
enum Stop {
    Write(io::Error),
    Failed(Failure),
}

impl Plan {
    fn find(&self, session: &Session<'_>, sight: &Sight) -> Result<Observed<Allocation>, Failure> {
        let WorkspaceAddress { name, gaddr } = self.address;
        let seen = sight.look(session, |view| {
            if self.salvage {
                view.allocations().find(|allocation| allocation.range.contains(gaddr))
            } else {
                view.allocation(gaddr)
            }
        })?;
        let geometry = sight.geometry()?;
        let value = seen.value.ok_or_else(|| failure::no_allocation(&name, gaddr, &geometry))?;
        Ok(Observed { value, doubt: seen.doubt })
    }

    /// Copies the bytes without the lock, since who reads them may be slow, and then looks whether
    /// they were an allocation's all the time.
    fn copy(
        &self,
        session: &Session<'_>,
        sight: &Sight,
        allocation: &Allocation,
        to: &mut dyn Write,
    ) -> Result<(), Stop> {
        let observer = sight.observer().map_err(Stop::Failed)?;
        let mut chunk = vec![0; 1 << 20];
        let mut gaddr = allocation.range.lo();
        loop {
            let left = allocation.range.hi().get().saturating_sub(gaddr.get());
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            let Some(bytes) = chunk.get_mut(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            let copied = observer.copy_out(gaddr, bytes);
            copied.map_err(|error| Stop::Failed(failure::copy(&self.address.name, &error)))?;
            to.write_all(bytes).map_err(Stop::Write)?;
            let Some(next) = gaddr.checked_add(count as u64) else { break };
            gaddr = next;
        }
        to.flush().map_err(Stop::Write)?;
        match self.find(session, sight) {
            Ok(found) if found.value == *allocation => Ok(()),
            Err(failure) if failure.kind != Kind::NotFound => Err(Stop::Failed(failure)),
            _ => Err(Stop::Failed(Failure::new(
                Kind::Failed,
                format_args!("{} was freed or changed while it was copied", self.address),
                "what was written is not to be trusted; look what is there now and try again",
            ))),
        }
    }

    fn write(
        &self,
        session: &Session<'_>,
        sight: &Sight,
        allocation: &Allocation,
        path: &Path,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::io(
                format_args!("cannot write {}", path.display()),
                &error,
                "no file was left behind; choose another place or make room",
            )
        };
        let stopped = |stop| match stop {
            Stop::Write(error) => failed(error),
            Stop::Failed(failure) => failure,
        };
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if is_stream(path) {
                let mut to = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return self.copy(session, sight, allocation, &mut to).map_err(stopped);
            }
            if metadata.is_dir() || !self.force {
                return Err(exists(path));
            }
        }
        let mut temporary = temporary(path).map_err(failed)?;
        self.copy(session, sight, allocation, temporary.as_file_mut()).map_err(stopped)?;
        let kept: Result<File, tempfile::PersistError> =
            if self.force { temporary.persist(path) } else { temporary.persist_noclobber(path) };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
            Err(error) => Err(failed(error.error)),
        }
    }
}

/// Makes a file in the directory of `path`, removed again unless it gets that name.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Builder::new()
        .prefix(".wksp-get-")
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(directory.unwrap_or(Path::new(".")))
}

#[derive(Debug, Serialize)]
struct Got {
    #[serde(flatten)]
    allocation: AllocationSummary,
    file: String,
    doubt: Option<DoubtReport>,
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocation, file, .. } = self;
        let bytes = Plural(allocation.bytes, "byte");
        writeln!(f, "{}: {bytes} to {file}", allocation.address)
    }
}
