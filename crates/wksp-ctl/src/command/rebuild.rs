//! `rebuild`: builds the index of a workspace anew.

use std::fmt;

use serde::Serialize;
use wksp_core::Name;

use super::usage::Totals;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;
use crate::value;

/// Builds the whole index anew from the records that have a tag; no allocation is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl rebuild demo
  wksp-ctl rebuild demo --seed 7 # with other heap priorities")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// The seed of the heap priorities [default: the present one].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
}

/// What to rebuild, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    seed: Option<u32>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let seed = self.seed.as_ref().map(|text| value::seed(text)).transpose()?;
        Ok(Plan { name: value::name(&self.name)?, seed })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let shared = session.attach(&self.name)?;
        let guard = session
            .salvage(&shared)?
            .rebuild(self.seed)
            .map_err(|(_, error)| failure::not_rebuildable(&self.name, &error))?;
        let usage = guard.usage(None);
        drop(guard);
        Ok(Outcome::done(Report {
            name: self.name.to_string(),
            seed: shared.workspace().seed(),
            totals: Totals::new(&usage),
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    seed: u32,
    #[serde(flatten)]
    totals: Totals,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rebuilt {} with seed {}", self.name, self.seed)?;
        write!(f, "{}", self.totals.table(None))
    }
}
