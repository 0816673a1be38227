//! `restore`: a checkpoint becomes the content of a workspace.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use wksp_checkpt::{Checkpoint, RestoreOptions, Restored, Verified};
use wksp_core::Name;
use wksp_shmem::{
    CreateError, NewRegionOptions, NewWorkspace, PageSize, Records, SharedWorkspace,
    WorkspaceOptions,
};

use super::new::make_directory;
use crate::confirm::confirm;
use crate::effort::Effort;
use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Bytes;
use crate::source::SourceName;
use crate::{stored, value};

/// Replaces everything in a workspace by what is in a checkpoint.
///
/// Every byte of the checkpoint is checked first, and nothing is changed if something is wrong. The
/// workspace may be of another size and have other records, if everything fits: allocations keep
/// their addresses.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl restore demo demo.wksp
  wksp-ctl restore demo demo.wksp --create
  wksp-ctl restore demo demo.wksp --create --size 8G --page-size huge --part-max 100000
  ssh elsewhere wksp-ctl checkpt demo - | wksp-ctl restore demo - --yes")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// The checkpoint, or - for standard input.
    file: PathBuf,
    /// Make the workspace, so that everything fits.
    #[arg(long)]
    create: bool,
    /// Make it of this size, rounded up to whole pages [default: as the one of the checkpoint].
    #[arg(long, allow_negative_numbers = true, requires = "create")]
    size: Option<String>,
    /// Make it with so many records [default: as the one of the checkpoint].
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "create")]
    part_max: Option<String>,
    /// Who may use what is made: permission bits in octal, whatever the umask [default: 0600].
    #[arg(long, allow_negative_numbers = true, requires = "create")]
    mode: Option<String>,
    /// The seed of the heap priorities [default: the present one].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
    /// How many threads read and decompress [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
    /// Do not ask whether what is in the workspace may go.
    #[arg(long)]
    yes: bool,
}

/// What to restore where, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    from: SourceName,
    create: Option<Creation>,
    seed: Option<u32>,
    threads: NonZeroUsize,
    yes: bool,
}

/// The workspace to be made; what is `None` is as the checkpoint says.
#[derive(Debug)]
struct Creation {
    bytes: Option<u64>,
    part_max: Option<u64>,
    mode: u32,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let creation = Creation {
            bytes: self.size.as_deref().map(value::size).transpose()?,
            part_max: self
                .part_max
                .as_deref()
                .map(|text| value::count("--part-max", text))
                .transpose()?,
            mode: value::mode(self.mode.as_deref().unwrap_or("0600"))?,
        };
        Ok(Plan {
            name: value::name(&self.name)?,
            from: SourceName::new(self.file),
            create: self.create.then_some(creation),
            seed: self.seed.as_deref().map(value::seed).transpose()?,
            threads: value::threads(self.threads.as_deref())?,
            yes: self.yes,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let target = self.target(session)?;
        let effort = Effort::new(session, self.threads)?;
        let mut source = self.from.open()?;
        let name = source.name().to_owned();
        let allocations_max = match &target {
            Target::There { shared, .. } => u64::from(shared.workspace().geometry().part_max()),
            Target::ToCreate(_) => u64::MAX,
        };
        let checkpoint = source.checkpoint(allocations_max)?;
        let start = Instant::now();
        let (restored, verify_seconds) = match target {
            Target::There { shared, may_replace } => {
                // Before all else, since checking every byte can take long.
                session.locked(&shared, |guard| {
                    let fit = guard.check_fit(checkpoint.allocations()).map_err(Into::into);
                    fit.map_err(|error| failure::restore(&self.name, &name, &error))
                })?;
                let verified = effort.verify(&name, &checkpoint)?;
                let seconds = start.elapsed().as_secs_f64();
                (self.restore(session, &effort, &shared, &verified, may_replace)?, seconds)
            }
            Target::ToCreate(creation) => {
                (self.restore_new(session, &effort, creation, &checkpoint)?, 0.0)
            }
        };
        stored::notice_unverified(session, &name, restored.is_protected);
        let restore_seconds = start.elapsed().as_secs_f64() - verify_seconds;
        Ok(Outcome::done(Report {
            name: self.name.to_string(),
            file: name,
            created: self.create.is_some(),
            format: stored::format_name(checkpoint.preview().format),
            allocation_count: restored.allocations,
            data_bytes: restored.data_bytes,
            state: stored::state(restored.is_protected),
            verify_seconds,
            restore_seconds,
        }))
    }
}

/// The workspace that is to be restored into.
enum Target<'p> {
    There {
        shared: SharedWorkspace,
        /// Whether what is in it may go.
        may_replace: bool,
    },
    ToCreate(&'p Creation),
}

impl Plan {
    /// Over whatever is in the workspace, without asking.
    pub(crate) fn over(name: Name, from: SourceName, seed: Option<u32>) -> Result<Self, Failure> {
        let threads = value::threads(None)?;
        Ok(Self { name, from, create: None, seed, threads, yes: true })
    }

    /// Finds the workspace, and asks whether what is in it may go.
    fn target(&self, session: &Session<'_>) -> Result<Target<'_>, Failure> {
        let name = &self.name;
        if let Some(creation) = &self.create {
            let path = session.base()?.directory_path(page_size(session)).join(name.as_str());
            if path.symlink_metadata().is_ok() {
                return Err(failure::create(name, &CreateError::Exists { path }.into()));
            }
            return Ok(Target::ToCreate(creation));
        }
        let shared = session.attach(name).map_err(|failure| match failure.kind {
            Kind::NotFound => {
                Failure { remedy: format!("{}; --create makes it", failure.remedy), ..failure }
            }
            _ => failure,
        })?;
        let used = session.locked(&shared, |guard| Ok(guard.usage(None).used.count))?;
        if used > 0 {
            let allocations = Plural(used, "allocation");
            confirm(&format!("replace the {allocations} in {name}"), self.yes)?;
        }
        Ok(Target::There { shared, may_replace: used > 0 || self.yes })
    }

    fn restore(
        &self,
        session: &Session<'_>,
        effort: &Effort,
        shared: &SharedWorkspace,
        verified: &Verified<'_, '_>,
        may_replace: bool,
    ) -> Result<Restored, Failure> {
        let name = &self.name;
        session.locked(shared, |guard| {
            if !may_replace && guard.usage(None).used.count > 0 {
                return Err(Failure::new(
                    Kind::Failed,
                    format_args!("{name} was empty, and somebody has allocated in it meanwhile"),
                    "nothing was changed; say --yes if all that may go",
                ));
            }
            let restored = effort.run("restoring", |control| {
                verified.restore(guard, &RestoreOptions { seed: self.seed, control })
            });
            restored.map_err(|error| failure::restore(name, &self.from.to_string(), &error))
        })
    }

    /// Restores into a workspace that gets its name when it holds everything.
    ///
    /// So nobody can have anything in it, and the checkpoint need not be checked before.
    fn restore_new(
        &self,
        session: &Session<'_>,
        effort: &Effort,
        creation: &Creation,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Restored, Failure> {
        let preview = checkpoint.preview();
        let page_size = page_size(session);
        let bytes = creation.bytes.unwrap_or(preview.geometry.footprint());
        let part_max = creation.part_max.unwrap_or(u64::from(preview.geometry.part_max()));
        make_directory(session, page_size)?;
        let region = NewRegionOptions {
            page_size,
            page_count: bytes.div_ceil(page_size.bytes()),
            mode: creation.mode,
        };
        let options = WorkspaceOptions::default()
            .with_records(Records::Count(part_max))
            .with_seed(self.seed.unwrap_or(preview.seed))
            .with_lock(session.lock_options());
        let name = &self.name;
        let not_created = |error| failure::create(name, &error);
        // Where files must have names, a temporary one must not be left behind.
        let _held = effort.interrupt().hold();
        let new = NewWorkspace::create(session.base()?, name, &region, &options);
        let new = new.map_err(not_created)?;
        let restored = session.locked(new.workspace(), |guard| {
            let restored = effort.run("restoring", |control| {
                checkpoint.restore_into_empty(guard, &RestoreOptions { seed: self.seed, control })
            });
            restored.map_err(|error| failure::restore(name, &self.from.to_string(), &error))
        })?;
        new.publish().map_err(|error| not_created(error.into()))?;
        Ok(restored)
    }
}

/// The size of the pages of a workspace to be made.
fn page_size(session: &Session<'_>) -> PageSize {
    session.page_size().unwrap_or(PageSize::Normal)
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    file: String,
    created: bool,
    format: &'static str,
    allocation_count: u64,
    data_bytes: u64,
    /// `verified` or `unverified`.
    state: &'static str,
    verify_seconds: f64,
    restore_seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, file, verify_seconds, restore_seconds, .. } = self;
        let created = if self.created { ", which was created" } else { "" };
        writeln!(f, "restored {file} into {name}{created}")?;
        let count = Plural(self.allocation_count, "allocation");
        writeln!(f, "  content    {count}, {}, {}", Bytes(self.data_bytes), self.state)?;
        f.write_str("  took       ")?;
        if self.created {
            return writeln!(f, "{restore_seconds:.2} s to check and restore in one");
        }
        writeln!(f, "{verify_seconds:.2} s to check, {restore_seconds:.2} s to restore")
    }
}
