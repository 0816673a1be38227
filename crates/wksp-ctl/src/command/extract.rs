//! `extract`: allocations in a checkpoint become files, without a workspace.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wksp_checkpt::{Append, Checkpoint, ReadError};
use wksp_core::{Allocation, Gaddr, Tag};

use crate::destination::{Destination, Opened, exists};
use crate::effort::Effort;
use crate::failure::{self, Failure, Kind};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::source::SourceName;
use crate::{number, stored, value};

/// Copies an allocation in a checkpoint, or all with a tag, to files, without a workspace.
///
/// The whole checkpoint is checked first. One allocation becomes the file; if several have the tag,
/// a new directory gets a file for each, named by its address.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl extract demo.wksp --gaddr 69632 os-release
  wksp-ctl extract demo.wksp --gaddr 69632 | less
  wksp-ctl extract demo.wksp --tag 7 all-with-tag-7")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct Args {
    /// The checkpoint, or - for standard input.
    file: PathBuf,
    /// The file or directory to be made, or - for standard output.
    #[arg(default_value = "-")]
    out: PathBuf,
    /// The allocation that has this byte.
    #[arg(long, group = "which", allow_negative_numbers = true)]
    gaddr: Option<String>,
    /// All allocations that have this tag.
    #[arg(long, group = "which", allow_negative_numbers = true)]
    tag: Option<String>,
    /// Replace the file if it is there; a directory is never replaced.
    #[arg(long)]
    force: bool,
    /// Check no more of the checkpoint than has to be read.
    #[arg(long)]
    no_verify: bool,
    /// How many threads check [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

/// What to copy where, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    from: SourceName,
    to: Destination,
    which: Which,
    verify: bool,
    threads: NonZeroUsize,
}

/// Which allocations are wanted.
#[derive(Clone, Copy, Debug)]
enum Which {
    At(Gaddr),
    Tagged(Tag),
}

/// The permission bits of a file or directory that is made: what is in a checkpoint was private.
const MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let which = match (&self.gaddr, &self.tag) {
            (Some(text), _) => Which::At(parse_gaddr(text)?),
            (None, Some(text)) => Which::Tagged(value::tag(text)?),
            (None, None) => {
                return Err(Failure::usage("nothing was asked for", "say --gaddr or --tag"));
            }
        };
        Ok(Plan {
            from: SourceName::new(self.file),
            to: Destination::new(self.out, self.force),
            which,
            verify: !self.no_verify,
            threads: value::threads(self.threads.as_deref())?,
        })
    }
}

fn parse_gaddr(text: &str) -> Result<Gaddr, Failure> {
    let remedy = "`wksp-ctl inspect` lists the addresses";
    let number = number::parse(text)
        .map_err(|error| Failure::usage(format_args!("{text:?} is no address: {error}"), remedy))?;
    Gaddr::new(number).ok_or_else(|| Failure::usage("0 is no address", remedy))
}

impl Which {
    const fn takes(self, allocation: &Allocation) -> bool {
        match self {
            Self::At(gaddr) => allocation.range.contains(gaddr),
            Self::Tagged(tag) => allocation.tag.get() == tag.get(),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(gaddr) => write!(f, "an allocation at {gaddr}"),
            Self::Tagged(tag) => write!(f, "an allocation with tag {tag}"),
        }
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        self.to.check(session)?;
        let effort = Effort::new(session, self.threads)?;
        let mut source = self.from.open()?;
        let name = source.name().to_owned();
        let checkpoint = source.checkpoint(u64::MAX)?;
        let wanted = checkpoint.allocations().iter().filter(|one| self.which.takes(one));
        let wanted: Vec<Allocation> = wanted.copied().collect();
        let Some((&first, more)) = wanted.split_first() else {
            return Err(Failure::new(
                Kind::NotFound,
                format_args!("{name} does not have {}", self.which),
                "`wksp-ctl inspect` lists the allocations",
            ));
        };
        if self.verify {
            let verified = effort.verify(&name, &checkpoint)?;
            stored::notice_unverified(session, &name, verified.is_protected());
        }
        let extracted = if more.is_empty() {
            let stream =
                self.to.is_stream().then(|| self.to.open(effort.interrupt())).transpose()?;
            // From here on until the file has its name, or there is none, only asked to end.
            let _held = effort.interrupt().hold();
            let mut opened = stream.map_or_else(|| self.to.open(effort.interrupt()), Ok)?;
            let copied = match &mut opened {
                Opened::Stream(stream) => copy(&effort, &checkpoint, |one| *one == first, stream),
                Opened::Draft(draft) => {
                    let file = draft.file().try_clone().map_err(ReadError::Sink);
                    file.and_then(|mut file| {
                        copy(&effort, &checkpoint, |one| *one == first, &mut file)
                    })
                }
            };
            copied.map_err(|error| self.not_extracted(&name, &effort, &error))?;
            self.to.publish(opened, MODE)?;
            self.to.file().map(|file| vec![Extracted::new(first, file)])
        } else {
            let directory = self.directory(wanted.len())?;
            let _held = effort.interrupt().hold();
            let copied = self.copy_all(&effort, &checkpoint, &wanted, directory);
            Some(copied.map_err(|error| self.not_extracted(&name, &effort, &error))?)
        };
        let Some(extracted) = extracted else { return Ok(Outcome::written()) };
        Ok(Outcome::done(Report { file: name, extracted }))
    }
}

impl Plan {
    /// Copies several allocations into a directory that appears whole or not at all.
    fn copy_all(
        &self,
        effort: &Effort,
        checkpoint: &Checkpoint<'_>,
        wanted: &[Allocation],
        directory: &Path,
    ) -> Result<Vec<Extracted>, ReadError> {
        let failed = ReadError::Sink;
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".wksp-extract-")
            .permissions(Permissions::from_mode(DIRECTORY_MODE))
            .tempdir_in(parent)
            .map_err(failed)?;
        // In one go, since what is compressed together would be decompressed for each of them; the
        // bytes come in the order in which the allocations are asked for.
        let next = RefCell::new(VecDeque::new());
        let mut files = Files { next: &next, directory: temporary.path(), current: None };
        let takes = |one: &Allocation| {
            let takes = self.which.takes(one);
            if takes {
                next.borrow_mut().push_back(*one);
            }
            takes
        };
        copy(effort, checkpoint, takes, &mut files)?;
        let sync = |directory: &Path| File::open(directory)?.sync_all();
        sync(temporary.path()).map_err(failed)?;
        // This replaces an empty directory at most.
        fs::rename(temporary.path(), directory).map_err(failed)?;
        // It has another name now, and nothing is to be removed.
        let _ = temporary.keep();
        sync(parent).map_err(failed)?;
        let path = |one: &Allocation| directory.join(one.range.lo().to_string());
        Ok(wanted.iter().map(|one| Extracted::new(*one, &path(one))).collect())
    }

    /// The directory to be made for several allocations.
    fn directory(&self, count: usize) -> Result<&Path, Failure> {
        let Some(directory) = self.to.file() else {
            return Err(Failure::usage(
                format_args!("there are {count} allocations with this tag, more than one file"),
                "name a directory to be made for them, or choose one by --gaddr",
            ));
        };
        if directory.symlink_metadata().is_ok() {
            return Err(Failure { remedy: "name a new directory".to_owned(), ..exists(directory) });
        }
        Ok(directory)
    }

    fn not_extracted(&self, name: &str, effort: &Effort, error: &ReadError) -> Failure {
        match error {
            ReadError::Sink(_) if effort.interrupt().is_asked() => {
                failure::read(name, &ReadError::Cancelled)
            }
            ReadError::Sink(source) => self.to.not_written(source),
            error => failure::read(name, error),
        }
    }
}

/// Copies the allocations for which `takes` holds, until somebody asks to end.
fn copy(
    effort: &Effort,
    checkpoint: &Checkpoint<'_>,
    takes: impl FnMut(&Allocation) -> bool,
    to: &mut dyn Append,
) -> Result<(), ReadError> {
    effort.run("extracting", |control| checkpoint.extract(takes, to, &control)).map(drop)
}

/// Files named by the addresses of allocations, whose bytes come one after the other.
struct Files<'a> {
    next: &'a RefCell<VecDeque<Allocation>>,
    directory: &'a Path,
    /// The file that is being written, and how many bytes it lacks.
    current: Option<(File, u64)>,
}

impl Files<'_> {
    fn open_next(&self) -> io::Result<(File, u64)> {
        let next = self.next.borrow_mut().pop_front();
        let range = next.ok_or(io::ErrorKind::InvalidData)?.range;
        let file = File::create_new(self.directory.join(range.lo().to_string()))?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok((file, range.bytes()))
    }
}

impl Append for Files<'_> {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (mut file, left) = match self.current.take() {
                Some(current) => current,
                None => self.open_next()?,
            };
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
            file.write_all(piece)?;
            let left = left.saturating_sub(piece.len() as u64);
            if left == 0 {
                file.sync_all()?;
            }
            self.current = (left > 0).then_some((file, left));
            bytes = rest;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    extracted: Vec<Extracted>,
}

#[derive(Debug, Serialize)]
struct Extracted {
    gaddr_lo: u64,
    gaddr_hi: u64,
    bytes: u64,
    #[serde(serialize_with = "value::serialize_tag")]
    tag: Tag,
    path: String,
}

impl Extracted {
    fn new(allocation: Allocation, path: &Path) -> Self {
        Self {
            gaddr_lo: allocation.range.lo().get(),
            gaddr_hi: allocation.range.hi().get(),
            bytes: allocation.range.bytes(),
            tag: allocation.tag,
            path: path.display().to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Extracted { gaddr_lo, bytes, path, .. } in &self.extracted {
            writeln!(f, "{gaddr_lo}: {} to {path}", Plural(*bytes, "byte"))?;
        }
        Ok(())
    }
}
