//! `reset`: frees everything in a workspace.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;

use crate::confirm::confirm;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Bytes;
use crate::value;

/// Frees everything in a workspace; this works on a damaged one as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl reset demo          # asks
  wksp-ctl reset demo --yes    # does not, as scripts need it")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// What to reset, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    yes: bool,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan { name: value::name(&self.name)?, yes: self.yes })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let name = &self.name;
        let shared = session.attach(name)?;
        confirm(&format!("free everything in {name}"), self.yes)?;
        let salvage = session.salvage(&shared)?;
        let (mut count, mut bytes) = (0_u64, 0_u64);
        for allocation in salvage.allocations() {
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(allocation.range.bytes());
        }
        let guard = salvage.reset(None).map_err(|error| failure::not_rebuildable(name, &error))?;
        drop(guard);
        Ok(Outcome::done(Report { name: name.to_string(), freed_count: count, freed_bytes: bytes }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    freed_count: u64,
    freed_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, freed_count, freed_bytes } = self;
        let freed = Plural(*freed_count, "allocation");
        writeln!(f, "reset {name}: freed {freed}, {}", Bytes(*freed_bytes))
    }
}
