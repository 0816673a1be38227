//! `checkpt-verify`: reads every byte of a checkpoint.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::effort::Effort;
use crate::failure::Failure;
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Bytes;
use crate::source::SourceName;
use crate::stored::{self, ProtectionReport};
use crate::value;

/// Reads and decompresses every byte of a checkpoint and compares its digest.
///
/// No workspace is needed. A checkpoint without a digest can be well formed and still have other
/// bytes than were written: that is called unverified, and is no failure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl checkpt-verify demo.wksp
  wksp-ctl checkpt-verify demo.wksp --json | jq -e '.state == \"verified\"'")]
pub(crate) struct Args {
    /// The checkpoint, or - for standard input.
    file: PathBuf,
    /// How many threads read and decompress [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

/// What to verify, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    from: SourceName,
    threads: NonZeroUsize,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            from: SourceName::new(self.file),
            threads: value::threads(self.threads.as_deref())?,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let effort = Effort::new(session, self.threads)?;
        let mut source = self.from.open()?;
        let name = source.name().to_owned();
        let checkpoint = source.checkpoint(u64::MAX)?;
        let start = Instant::now();
        let verified = effort.verify(&name, &checkpoint)?;
        Ok(Outcome::done(Report {
            file: name,
            format: stored::format_name(checkpoint.preview().format),
            state: stored::state(verified.is_protected()),
            protection: ProtectionReport::new(checkpoint.protection()),
            allocation_count: checkpoint.allocations().len() as u64,
            data_bytes: checkpoint.data_bytes(),
            checkpoint_bytes: checkpoint.bytes(),
            verify_seconds: start.elapsed().as_secs_f64(),
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: &'static str,
    /// `verified` or `unverified`.
    state: &'static str,
    protection: ProtectionReport,
    allocation_count: u64,
    data_bytes: u64,
    checkpoint_bytes: u64,
    verify_seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, format, protection, .. } = self;
        if self.state == "verified" {
            writeln!(f, "{file}: verified by {protection}")?;
        } else {
            writeln!(f, "{file}: unverified: well formed, but the file carries no digest")?;
        }
        let count = Plural(self.allocation_count, "allocation");
        let (data, bytes) = (Bytes(self.data_bytes), Bytes(self.checkpoint_bytes));
        writeln!(f, "  {format}: {count}, {data}, in {bytes}; {:.2} s", self.verify_seconds)
    }
}
