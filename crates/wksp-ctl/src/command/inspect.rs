//! `inspect`: what is in a checkpoint.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Serialize;
use wksp_checkpt::{Checkpoint, Stored};
use wksp_core::Tag;

use crate::effort::Effort;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::{Bytes, Human};
use crate::source::SourceName;
use crate::stored::{PreviewReport, ProtectionReport};
use crate::table::{Side, Table};
use crate::value;

/// Shows what made a checkpoint, what it was taken of, and every allocation in it.
///
/// No workspace is needed. The data is neither shown nor checked: see `checkpt-verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl inspect demo.wksp
  wksp-ctl inspect demo.wksp --brief # reads no more than its front
  wksp-ctl inspect demo.wksp --json | jq '.allocations[] | select(.tag == \"7\")'")]
pub(crate) struct Args {
    /// The checkpoint, or - for standard input.
    file: PathBuf,
    /// Show only what the checkpoint says at its front.
    #[arg(long)]
    brief: bool,
    /// How many threads decompress, which only zstd needs [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

/// What to show.
#[derive(Debug)]
pub(crate) struct Plan {
    from: SourceName,
    brief: bool,
    threads: NonZeroUsize,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let threads = value::threads(self.threads.as_deref())?;
        Ok(Plan { from: SourceName::new(self.file), brief: self.brief, threads })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let mut source = self.from.open()?;
        let file = source.name().to_owned();
        if self.brief {
            let preview = PreviewReport::new(&source.preview()?);
            return Ok(Outcome::done(Report { file, preview, content: None }));
        }
        let effort = Effort::new(session, self.threads)?;
        let checkpoint = source.checkpoint(u64::MAX)?;
        let listed = effort.run("reading", |control| checkpoint.inspect(&control));
        let mut listed = listed.map_err(|error| failure::read(&file, &error))?;
        listed.sort_unstable_by_key(|stored| stored.allocation.range.lo());
        let preview = PreviewReport::new(checkpoint.preview());
        let content = Some(Content::new(&checkpoint, &listed));
        Ok(Outcome::done(Report { file, preview, content }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    #[serde(flatten)]
    preview: PreviewReport,
    /// `None` if only the front was asked for.
    content: Option<Content>,
}

#[derive(Debug, Serialize)]
struct Content {
    allocation_count: u64,
    data_bytes: u64,
    checkpoint_bytes: u64,
    protection: ProtectionReport,
    allocations: Vec<StoredReport>,
}

#[derive(Debug, Serialize)]
struct StoredReport {
    gaddr_lo: u64,
    gaddr_hi: u64,
    bytes: u64,
    /// The bytes that it takes in the checkpoint.
    stored_bytes: u64,
    #[serde(serialize_with = "value::serialize_tag")]
    tag: Tag,
}

impl Content {
    fn new(checkpoint: &Checkpoint<'_>, listed: &[Stored]) -> Self {
        let allocations = listed.iter().map(|&Stored { allocation, stored_bytes, .. }| {
            let (lo, hi) = (allocation.range.lo().get(), allocation.range.hi().get());
            let bytes = allocation.range.bytes();
            StoredReport { gaddr_lo: lo, gaddr_hi: hi, bytes, stored_bytes, tag: allocation.tag }
        });
        Self {
            allocation_count: checkpoint.allocations().len() as u64,
            data_bytes: checkpoint.data_bytes(),
            checkpoint_bytes: checkpoint.bytes(),
            protection: ProtectionReport::new(checkpoint.protection()),
            allocations: allocations.collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {}\n{}", self.file, self.preview)?;
        let Some(content) = &self.content else { return Ok(()) };
        writeln!(f, "  digest   {}\n", content.protection)?;
        let mut table = Table::new([
            ("GADDR", Side::Right),
            ("END", Side::Right),
            ("BYTES", Side::Right),
            ("SIZE", Side::Right),
            ("STORED", Side::Right),
            ("TAG", Side::Right),
        ]);
        for one in &content.allocations {
            table.row([
                one.gaddr_lo.to_string(),
                one.gaddr_hi.to_string(),
                one.bytes.to_string(),
                Human(one.bytes).to_string(),
                one.stored_bytes.to_string(),
                one.tag.to_string(),
            ]);
        }
        let count = Plural(content.allocation_count, "allocation");
        let (data, bytes) = (Bytes(content.data_bytes), Bytes(content.checkpoint_bytes));
        writeln!(f, "{table}\n{count}, {data}, in {bytes}")
    }
}
